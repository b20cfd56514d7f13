//! RocksDB, built once per version, features and target, into the cache folder.
//!
//! It takes about twenty CPU minutes. A generated package with the workspace's lock file builds exactly the library
//! that the workspace would build; `.cargo/local.toml` then points every build at the copy (see `local_config.rs`).

use crate::{Failure, cache, cargo, process};
use std::fs;
use std::path::{Path, PathBuf};

/// Features of the `rocksdb` crate that change the compiled C++ library.
const CODE_FEATURES: [&str; 9] = ["bzip2", "io-uring", "jemalloc", "lto", "lz4", "rtti", "snappy", "zlib", "zstd"];

/// The file that the whole effort is about.
pub(crate) const LIBRARY: &str = "librocksdb.a";

/// What identifies one build of the library.
struct Build {
    /// Version of `librocksdb-sys`, as locked.
    version: String,
    /// Code features, sorted.
    features: Vec<String>,
    /// Target triple of the host.
    target: String,
}

/// The folder that holds `librocksdb.a`; builds it first when it is missing. `root` is the workspace.
pub(crate) fn rocksdb(root: &Path) -> Result<PathBuf, Failure> {
    let build = Build::of_workspace(root)?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    cache::discard_unless("rocksdb", &build.key(), LIBRARY)?;
    cache::entry("rocksdb", &build.key(), |dir| {
        println!("building RocksDB {} once for this machine (10 to 20 minutes) ..", build.version);
        let package = build.write_package(dir, &lock)?;
        let log = package.join("build.log");
        let mut command = cargo::plain("build");
        command.args(["--release", "--message-format=json-render-diagnostics"]).current_dir(&package);
        command.env("CARGO_TARGET_DIR", package.join("target"));
        process::run_logged(&mut command, &log, || {
            format!("RocksDB: {} of about 345 files compiled", objects_below(&package.join("target/release/build")))
        })?;
        let out = built_out_dir(&fs::read_to_string(&log)?).ok_or("cargo named no output folder for librocksdb-sys")?;
        fs::copy(out.join(LIBRARY), dir.join(LIBRARY))?;
        fs::remove_dir_all(&package)?;
        Ok(())
    })
}

impl Build {
    fn of_workspace(root: &Path) -> Result<Self, Failure> {
        let lock = fs::read_to_string(root.join("Cargo.lock"))?;
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let rustc = process::output("rustc", &["-vV"]).ok_or("rustc does not run")?;
        let target = rustc.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
        Ok(Self {
            version: locked_version(&lock, "librocksdb-sys").ok_or("Cargo.lock has no librocksdb-sys")?.to_owned(),
            features: code_features(&manifest).ok_or("Cargo.toml has no rocksdb dependency")?,
            target: target.to_owned(),
        })
    }

    fn key(&self) -> String {
        format!("{}-{}-{}", self.version, self.features.join("+"), self.target)
    }

    /// A package that depends on nothing but the library, beside a copy of the workspace's lock file.
    fn write_package(&self, dir: &Path, lock: &str) -> Result<PathBuf, Failure> {
        let package = dir.join("build");
        fs::create_dir_all(package.join("src"))?;
        let version = self.version.split('+').next().unwrap_or(&self.version);
        let features: Vec<String> =
            self.features.iter().map(String::as_str).chain(["bindgen-runtime"]).map(|f| format!("\"{f}\"")).collect();
        fs::write(
            package.join("Cargo.toml"),
            format!(
                "[package]\nname = \"rocksdb-once\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
                 [dependencies]\nlibrocksdb-sys = {{ version = \"={version}\", default-features = false, features = [{}] }}\n",
                features.join(", ")
            ),
        )?;
        fs::write(package.join("Cargo.lock"), lock)?;
        fs::write(package.join("src/lib.rs"), "")?;
        Ok(package)
    }
}

/// The version of a package in a lock file.
fn locked_version<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != wanted);
    lines.find_map(|line| line.strip_prefix("version = \"")).map(|rest| rest.trim_end_matches('"'))
}

/// The code features of the `rocksdb = { .. }` line of a manifest, sorted.
fn code_features(manifest: &str) -> Option<Vec<String>> {
    let line = manifest.lines().find(|line| line.starts_with("rocksdb = "))?;
    let list = line.split_once("features = [")?.1.rsplit_once(']')?.0.split(']').next()?;
    let mut features: Vec<String> = list
        .split(',')
        .map(|feature| feature.trim().trim_matches('"').to_owned())
        .filter(|feature| CODE_FEATURES.contains(&feature.as_str()))
        .collect();
    features.sort();
    Some(features)
}

/// The `out_dir` of the build script of `librocksdb-sys` in cargo's JSON messages.
fn built_out_dir(messages: &str) -> Option<PathBuf> {
    let line = messages
        .lines()
        .find(|line| line.contains("\"reason\":\"build-script-executed\"") && line.contains("librocksdb-sys"))?;
    let rest = line.split_once("\"out_dir\":\"")?.1;
    Some(PathBuf::from(rest.split_once('"')?.0.replace("\\\\", "\\")))
}

/// How many object files the C++ compiler has written so far.
fn objects_below(build: &Path) -> usize {
    let folders = fs::read_dir(build).into_iter().flatten().flatten();
    let outputs = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("librocksdb-sys-"));
    let files = outputs.flat_map(|entry| fs::read_dir(entry.path().join("out")).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "o")).count()
}

#[cfg(test)]
mod tests {
    use super::{built_out_dir, code_features, locked_version};
    use std::path::PathBuf;

    #[test]
    fn reads_the_locked_version_of_one_package() {
        let lock = "[[package]]\nname = \"librocksdb-sys-x\"\nversion = \"9.9.9\"\n\n[[package]]\nname = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\n";
        assert_eq!(locked_version(lock, "librocksdb-sys"), Some("0.19.0+11.8.1"));
        assert_eq!(locked_version(lock, "absent"), None);
    }

    #[test]
    fn keeps_only_features_that_change_the_library() {
        let manifest = "rocksdb = { version = \"0.25\", features = [\"zstd\", \"lz4\", \"multi-threaded-cf\"], default-features = false }\n";
        assert_eq!(code_features(manifest), Some(vec!["lz4".to_owned(), "zstd".to_owned()]));
        assert_eq!(code_features("serde = \"1\"\n"), None);
    }

    #[test]
    fn finds_the_output_folder_among_cargo_messages() {
        let messages = concat!(
            "{\"reason\":\"build-script-executed\",\"package_id\":\"lz4-sys\",\"out_dir\":\"/a\"}\n",
            "{\"reason\":\"build-script-executed\",\"package_id\":\"x#librocksdb-sys@0.19\",\"out_dir\":\"/b/out\"}\n",
        );
        assert_eq!(built_out_dir(messages), Some(PathBuf::from("/b/out")));
    }
}
