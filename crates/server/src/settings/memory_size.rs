//! Sizes of memory: what a setting asks for, and what this process may have at most.

use std::fs;

/// Bytes that a text stands for: a plain number, one with `KiB`, `MiB`, `GiB` or `TiB`, or a share of `whole` in percent.
///
/// # Errors
/// Says what is understood.
pub(super) fn parse(text: &str, whole: u64) -> Result<u64, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: Option<u64> = number.parse().ok();
    let bytes = number.and_then(|number| match unit.trim() {
        "" | "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        "TiB" => number.checked_mul(1 << 40),
        "%" if number <= 100 => Some(whole / 100 * number),
        _ => None,
    });
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| format!("a size such as 4GiB, 512MiB or 60%, got {text:?}"))
}

/// Bytes that this process may have: the limit of its control group, else the memory of the machine.
pub(super) fn available_bytes() -> u64 {
    let read = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let group = read("/sys/fs/cgroup/memory.max").or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        total.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1 << 10)
    });
    match (group, machine) {
        (Some(group), Some(machine)) => group.min(machine),
        (one, other) => one.or(other).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_with_units_and_shares() {
        for (text, bytes) in
            [("1024", 1_024), ("3KiB", 3 << 10), (" 4 GiB ", 4 << 30), ("512MiB", 512 << 20), ("25%", 250)]
        {
            assert_eq!(parse(text, 1_000), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "101%", "4GB", "GiB", "1.5GiB", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(parse(text, 1_000).is_err(), "{text}");
        }
    }
}
