//! The image's root file system, without a container engine: laid out by the image's own script, then entered with
//! chroot as its unprivileged user, with everything but the data folder mounted read-only. The binary is a small one.

use azimuth_tests::{notice, raw_http, server, workspace_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const USER: &str = "10001:10001";
/// Of the binary; without its debug information.
const BINARY_BYTES_MAX: u64 = 60 << 20;

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// The image's entry point. The process that is started becomes the server: its id stays.
fn in_read_only_root(root: &Path) -> Command {
    let mounts = r#"mount --bind "$0" "$0" && mount --bind "$0/var/lib/azimuth" "$0/var/lib/azimuth" &&
        mount -o remount,ro,bind "$0" && exec chroot "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", mounts]).arg(root);
    command.arg(format!("--userspec={USER}")).arg(root).args(["/bin/azimuth", "serve"]);
    command
}

/// Whether a folder is mounted writable, as the process sees it.
fn is_writable(mounts: &str, folder: &str) -> Option<bool> {
    let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(folder))?;
    Some(line.split(' ').nth(3)?.split(',').any(|option| option == "rw"))
}

/// Every file outside the data folder.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && entry.path() != root.join("var/lib/azimuth") => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_image_runs_as_its_user_and_writes_only_its_data() {
    let mounts = Command::new("unshare").args(["--mount", "--", "true"]).output();
    if !is_root() || !mounts.is_ok_and(|output| output.status.success()) {
        notice("container: skipped, chroot and mounts of its own need root");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("rootfs");
    run(Command::new(workspace_root().join("deploy/rootfs.sh")).arg(server::binary()).arg(&root));
    run(Command::new("chown").args(["-R", USER]).arg(root.join("var/lib/azimuth")));
    run(Command::new("chmod").arg("0755").arg(folder.path()));
    let before = files(&root);
    let bytes = fs::metadata(root.join("bin/azimuth")).expect("the binary").len();
    notice(&format!("container: the binary has {} MiB", bytes >> 20));
    assert!(bytes <= BINARY_BYTES_MAX, "the image's binary has {bytes} bytes");
    let (http, grpc) = (server::free_port(), server::free_port());
    let mut command = in_read_only_root(&root);
    command.args(["--host", "127.0.0.1", "--scheme", "http"]).env_clear();
    command.env("PORT", http.to_string()).env("GRPC_PORT", grpc.to_string());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("PERSISTENCE_DATA_PATH", "/var/lib/azimuth");
    command.env("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").stdin(Stdio::null());
    let log_path = folder.path().join("server.log");
    let log = fs::File::create(&log_path).expect("a log file");
    command.stdout(log.try_clone().expect("the log file")).stderr(log);
    let mut running = Running(command.spawn().expect("chroot starts"));
    let address = format!("127.0.0.1:{http}");
    let since = Instant::now();
    while !raw_http::get(&address, "/v1/.well-known/ready").is_ok_and(|answer| answer.status == 200) {
        let log = || fs::read_to_string(&log_path).unwrap_or_default();
        assert!(matches!(running.0.try_wait(), Ok(None)), "the server ended:\n{}", log());
        assert!(since.elapsed() < Duration::from_secs(60), "the server is not ready:\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let created = raw_http::post(&address, "/v1/objects", r#"{"class": "Thing", "properties": {"n": 1}}"#);
    assert_eq!(created.expect("an answer").status, 200);
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).expect("a running process");
    assert!(status.lines().any(|line| line.starts_with("Uid:\t10001\t10001")), "{status}");
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", running.0.id())).expect("a running process");
    let writable = ["/", "/var/lib/azimuth"].map(|folder| is_writable(&mounts, folder));
    assert_eq!(writable, [Some(false), Some(true)], "{mounts}");
    drop(running);
    assert_eq!(files(&root), before, "something was written outside the data folder");
    assert!(files(&root.join("var/lib/azimuth")).len() > 3, "the data lies elsewhere");
}
