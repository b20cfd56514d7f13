//! libFuzzer drives the target: it keeps the inputs that reach new code, in the corpus, and changes them further.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crate::{BYTES_MAX, folder, number};

/// Longest time for one input; more is a finding.
const SECONDS_MAX: u64 = 10;

/// Most memory of the process, and of one allocation; more is a finding.
const MEMORY_MIB_MAX: u64 = 2_048;

type Target = Box<dyn Fn(&[u8]) + Send + Sync>;

static TARGET: OnceLock<Target> = OnceLock::new();

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        callback: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

// The crate is here for its C++ library alone; it wants this function, which only its own driver would call.
#[unsafe(no_mangle)]
extern "C" fn rust_fuzzer_test_input(_: *const u8, _: usize) -> c_int {
    0
}

extern "C" fn one(data: *const u8, bytes: usize) -> c_int {
    // SAFETY: libFuzzer hands over `bytes` readable bytes, which stay as they are during the call.
    let input = if bytes == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, bytes) } };
    let Some(target) = TARGET.get() else { return -1 };
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        // libFuzzer keeps the input and says so.
        std::process::abort();
    }
    0
}

/// Runs until the time is over or something is found.
pub(crate) fn run(name: &str, examples: &[Vec<u8>], target: Target) {
    // Keeps the library in the link.
    let _ = libfuzzer_sys::initialize as *const ();
    let Some(folder) = folder(name) else {
        eprintln!("{name}: AZIMUTH_FUZZ_CORPUS names no folder");
        return;
    };
    fs::create_dir_all(&folder).expect("a folder for the corpus");
    for (number, example) in examples.iter().enumerate() {
        fs::write(folder.join(format!("example-{number}")), example).expect("an example in the corpus");
    }
    let _ = TARGET.set(target);
    let mut arguments = vec![
        name.to_owned(),
        folder.display().to_string(),
        format!("-artifact_prefix={}/failed-", folder.display()),
        format!("-max_len={BYTES_MAX}"),
        format!("-timeout={SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        format!("-max_total_time={}", number("AZIMUTH_FUZZ_SECONDS").unwrap_or(60)),
    ];
    arguments.extend(number("AZIMUTH_SEED").map(|seed| format!("-seed={}", seed & 0xffff_ffff)));
    let arguments: Vec<CString> =
        arguments.into_iter().map(|text| CString::new(text).expect("an argument without a zero byte")).collect();
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    let (mut count, mut list) = (arguments.len() as c_int, pointers.as_mut_ptr());
    // SAFETY: the arguments are `count` strings that end with a zero byte, followed by a null pointer, and live until the
    // driver returns.
    let status = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut list, one) };
    assert_eq!(status, 0, "libFuzzer found something");
}
