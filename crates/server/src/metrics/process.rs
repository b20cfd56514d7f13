//! Metrics of the process, under the names that every Prometheus client uses for them.

use super::families::Families;

/// Reads `/proc/self`; adds nothing on a system without it.
pub(super) fn read(families: &mut Families) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The name of the program may contain blanks; field 3 is the first one after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // SAFETY: asks for constants of the system; no memory is passed.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let (ticks, page) = (ticks.max(1) as f64, page.max(1) as f64);
    let seconds = (field(14) + field(15)) / ticks;
    families.counter("process_cpu_seconds_total", "Seconds of processor time.", seconds);
    families.gauge("process_threads", "Threads.", field(20));
    families.gauge("process_virtual_memory_bytes", "Bytes of address space.", field(23));
    families.gauge("process_resident_memory_bytes", "Bytes in memory.", field(24) * page);
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    families.gauge("process_open_fds", "Open files.", files as f64);
}
