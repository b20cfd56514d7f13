//! The image's root file system, without a container engine: laid out by the image's own script, then entered with
//! chroot as its unprivileged user. Nothing outside the data folder may be written.

use azimuth_tests::{notice, raw_http, server, workspace_root};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const USER: &str = "10001:10001";

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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
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
    if !is_root() {
        notice("container: skipped, chroot needs root");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("rootfs");
    run(Command::new(workspace_root().join("deploy/rootfs.sh")).arg(server::binary()).arg(&root));
    run(Command::new("chown").args(["-R", USER]).arg(root.join("var/lib/azimuth")));
    run(Command::new("chmod").arg("0755").arg(folder.path()));
    let before = files(&root);
    let (http, grpc) = (free_port(), free_port());
    let mut command = Command::new("chroot");
    command.arg(format!("--userspec={USER}")).arg(&root).args(["/bin/azimuth", "serve", "--host", "127.0.0.1"]);
    command.args(["--scheme", "http", "--port", &http.to_string()]).env_clear().env("GRPC_PORT", grpc.to_string());
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
    drop(running);
    assert_eq!(files(&root), before, "something was written outside the data folder");
    assert!(files(&root.join("var/lib/azimuth")).len() > 3, "the data lies elsewhere");
}
