//! `azimuth status` and `azimuth import`: what they print, what they leave behind, and the code they end with.

use azimuth_client::{CollectionConfig, VectorIndex};
use azimuth_tests::raw_tls::Authority;
use azimuth_tests::server::{Server, binary, free_port};
use azimuth_tests::{notice, raw_http, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DIMENSIONS: u32 = 8;

/// Input files of an import.
struct Input {
    folder: tempfile::TempDir,
    records: u64,
}

impl Input {
    /// So many records with a title and a number, and a vector for each.
    fn new(records: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = Self { folder, records };
        let lines: String =
            (0..records).map(|n| format!("{}\n", json!({"id": n, "title": format!("t{n}"), "n": n}))).collect();
        fs::write(input.objects(), lines).expect("an input file");
        input.write_vectors(records);
        input
    }

    fn write_vectors(&self, rows: u64) {
        let mut bytes = [u32::try_from(rows).expect("few rows").to_le_bytes(), DIMENSIONS.to_le_bytes()].concat();
        for row in 0..rows {
            for place in 0..DIMENSIONS {
                bytes.extend(((row as f32).mul_add(0.01, place as f32)).sin().to_le_bytes());
            }
        }
        fs::write(self.vectors(), bytes).expect("a vector file");
    }

    fn objects(&self) -> PathBuf {
        self.folder.path().join("objects.jsonl")
    }

    fn vectors(&self) -> PathBuf {
        self.folder.path().join("vectors.fbin")
    }

    fn resume(&self) -> PathBuf {
        self.folder.path().join("objects.jsonl.resume")
    }

    fn failures(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("objects.jsonl.failures.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// `azimuth import` of both files into `Thing`.
    fn import(&self, server: &Server) -> Command {
        let mut command = azimuth("import", server);
        command.args(["--collection", "Thing", "--create"]);
        command.arg("--objects").arg(self.objects()).arg("--vectors").arg(self.vectors());
        command
    }
}

fn azimuth(subcommand: &str, server: &Server) -> Command {
    let mut command = Command::new(binary());
    command.args([subcommand, "--url", &format!("http://{}", server.http_address())]);
    command.env_remove("AZIMUTH_API_KEY").env_remove("AZIMUTH_URL").env_remove("AZIMUTH_GRPC_URL").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (status.code().unwrap_or_else(|| panic!("no code: {status}")), stdout, stderr)
}

fn count(server: &Server) -> u64 {
    let (code, stdout, stderr) = run(azimuth("status", server).arg("--json"));
    assert_eq!(code, 0, "{stderr}");
    let status: Value = serde_json::from_str(&stdout).expect("JSON");
    let things = status["collections"].as_array().expect("a list").iter().find(|held| held["name"] == "Thing");
    things.and_then(|held| held["objects"].as_u64()).expect("a count")
}

#[test]
fn an_import_is_stored_and_status_shows_it() {
    let (server, input) = (Server::start(), Input::new(3_000));
    let (code, stdout, stderr) = run(&mut input.import(&server));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("3000 objects stored") && stdout.contains("0 refused"), "{stdout}");
    assert!(!stderr.contains('\r') && !stderr.contains('\u{1b}'), "no bar where nobody looks: {stderr:?}");
    assert!(!input.resume().exists(), "a finished import has no position");
    assert_eq!(count(&server), input.records);
    let (code, stdout, _) = run(&mut azimuth("status", &server));
    assert_eq!(code, 0);
    for words in ["ready", "version 1.", "Thing", "3000"] {
        assert!(stdout.contains(words), "{words} is not in {stdout}");
    }
    let object = raw_http::get(&server.http_address(), "/v1/objects?class=Thing&limit=1&include=vector").expect("one");
    assert!(object.body.contains("\"title\"") && object.body.contains("\"vector\""), "{object:?}");
    // The same once more replaces what is there.
    assert_eq!(run(&mut input.import(&server)).0, 0);
    assert_eq!(count(&server), input.records);
    // Compressed, and without the vectors.
    let packed = input.folder.path().join("packed.gz");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&packed).expect("a file"), Default::default());
    encoder.write_all(&fs::read(input.objects()).expect("the input")).expect("packed");
    encoder.finish().expect("packed");
    let (code, _, stderr) =
        run(azimuth("import", &server).args(["--collection", "Packed", "--create", "--objects"]).arg(&packed));
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_killed_import_goes_on_where_it_was() {
    let (server, input) = (Server::start(), Input::new(60_000));
    let mut first = input.import(&server);
    first.args(["--batch", "20", "--concurrency", "2"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = first.spawn().expect("the binary starts");
    let position = || {
        let text = fs::read(input.resume()).ok()?;
        serde_json::from_slice::<Value>(&text).expect("the file is whole at any moment")["records"].as_u64()
    };
    wait_for("a position", || {
        assert!(running.try_wait().expect("a status").is_none(), "the import ended before it could be killed");
        position().is_some_and(|records| records > 0)
    });
    running.kill().expect("kill -9");
    running.wait().expect("its end");
    let at = position().expect("the position stays");
    assert!(at < input.records && count(&server) >= at, "what is written down is stored");
    let (code, stdout, stderr) = run(&mut input.import(&server));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("going on after {at} records")), "{stderr}");
    assert!(stdout.starts_with(&format!("{} objects stored", input.records - at)), "{at}: {stdout}");
    assert_eq!(count(&server), input.records, "each record once");
    assert!(!input.resume().exists());
}

#[test]
fn an_interrupted_import_says_so_and_another_one_does_not_go_on_from_it() {
    let (server, input) = (Server::start(), Input::new(60_000));
    let mut first = input.import(&server);
    first.args(["--batch", "20", "--concurrency", "1"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let running = first.spawn().expect("the binary starts");
    wait_for("the collection", || {
        raw_http::get(&server.http_address(), "/v1/objects?class=Thing&limit=1").is_ok_and(|a| a.body.contains("title"))
    });
    let interrupted = Command::new("sh").args(["-c", "kill -INT \"$1\"", "sh", &running.id().to_string()]).status();
    assert!(interrupted.expect("a shell").success());
    let output = running.wait_with_output().expect("its end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("interrupted") && stderr.contains("the same command goes on"), "{stderr}");
    let (code, _, stderr) =
        run(azimuth("import", &server).args(["--collection", "Other", "--create", "--objects"]).arg(input.objects()));
    assert!(code == 2 && stderr.contains("belongs to another import"), "{code}: {stderr}");
    let (code, _, stderr) = run(&mut input.import(&server));
    assert!(code == 0 && stderr.contains("going on after"), "{code}: {stderr}");
    assert_eq!(count(&server), input.records);
}

#[test]
fn records_that_are_refused_are_listed_one_by_one() {
    let (server, input) = (Server::start(), Input::new(500));
    let mut lines: Vec<String> =
        fs::read_to_string(input.objects()).expect("the input").lines().map(str::to_owned).collect();
    lines[7] = "{\"id\": 7, \"title\": ".to_owned();
    lines[99] = "[1, 2]".to_owned();
    lines[300] = json!({"id": 300, "title": "t", "n": {"not": "a number"}}).to_string();
    lines[499] = json!({"id": 499, "9 bad name": 1}).to_string();
    fs::write(input.objects(), lines.join("\n")).expect("an input file");
    let (code, stdout, stderr) = run(input.import(&server).args(["--batch", "50"]));
    assert_eq!(code, 1, "{stderr}");
    assert!(stdout.starts_with("496 objects stored") && stdout.contains("4 refused"), "{stdout}");
    let failures = input.failures();
    let mut records: Vec<u64> = failures.iter().map(|failure| failure["record"].as_u64().expect("a number")).collect();
    records.sort_unstable();
    assert_eq!(records, [7, 99, 300, 499], "{failures:?}");
    assert!(failures.iter().all(|failure| !failure["error"].as_str().unwrap_or_default().is_empty()), "{failures:?}");
    for record in [7, 99] {
        assert!(stderr.contains(&format!("record {record} refused")), "{stderr}");
    }
    assert_eq!(count(&server), 496);
}

/// A mistake that is found before the first record leaves neither a collection nor a position behind.
fn assert_untouched(server: &Server, input: &Input, after: &str) {
    let found = raw_http::get(&server.http_address(), "/v1/schema/Thing").expect("an answer");
    assert_eq!(found.status, 404, "{after}: a collection was made");
    let names: Vec<_> = fs::read_dir(input.folder.path()).expect("the folder").flatten().collect();
    assert!(names.iter().all(|name| !name.file_name().to_string_lossy().contains("resume")), "{after}: {names:?}");
}

#[test]
fn input_that_cannot_be_used_ends_with_2_and_a_reason() {
    let (server, input) = (Server::start(), Input::new(50));
    let base = |objects: &Path| {
        let mut command = azimuth("import", &server);
        command.args(["--collection", "Thing", "--objects"]).arg(objects);
        command
    };
    let missing = input.folder.path().join("missing.jsonl");
    let short = input.folder.path().join("short.fbin");
    fs::write(&short, [1, 2, 3]).expect("a file");
    let lying = input.folder.path().join("lying.fbin");
    fs::write(&lying, [255_u8; 64]).expect("a file");
    let create = |mut command: Command| {
        command.arg("--create");
        command
    };
    let with = |mut command: Command, vectors: &Path| {
        command.arg("--vectors").arg(vectors);
        command
    };
    for (name, mut command, words) in [
        ("no collection", base(&input.objects()), "--create makes one"),
        ("no file", create(base(&missing)), "missing.jsonl"),
        ("a folder", create(base(input.folder.path())), "directory"),
        ("no vectors", with(create(base(&input.objects())), &missing), "missing.jsonl"),
        ("a torn vector file", with(create(base(&input.objects())), &short), "short.fbin"),
        ("a vector file that lies", with(create(base(&input.objects())), &lying), "lying.fbin"),
        ("a bad name", azimuth("import", &server), "--collection"),
    ] {
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!(code, 2, "{name}: {stdout}{stderr}");
        assert!(stderr.contains(words), "{name}: {stderr}");
        assert_untouched(&server, &input, name);
    }
    input.write_vectors(20);
    let (code, _, stderr) = run(&mut input.import(&server));
    assert!(code == 2 && stderr.contains("20 vectors"), "too few vectors: {code} {stderr}");
    assert_untouched(&server, &input, "too few vectors");
    // A resume file that an earlier version left after a mistake is not binding.
    let left = json!({"format": 1, "server": "http://else", "collection": "Else", "objects_bytes": 1, "records": 0});
    fs::write(input.resume(), left.to_string()).expect("a resume file");
    input.write_vectors(50);
    let (code, _, stderr) = run(&mut input.import(&server));
    assert_eq!(code, 0, "after the repair: {stderr}");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for subcommand in ["status", "import"] {
        let mut command = Command::new(binary());
        command.args([subcommand, "--url", &nobody]);
        if subcommand == "import" {
            command.args(["--collection", "Thing", "--objects"]).arg(input.objects());
        }
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 2, "{subcommand}: {stderr}");
        assert!(subcommand == "status" || stderr.contains(&nobody), "{subcommand}: {stderr}");
    }
    let (code, _, stderr) = run(Command::new(binary()).args(["status", "--url", "ftp://x"]));
    assert!(code == 2 && stderr.contains("http"), "{code}: {stderr}");
}

#[test]
fn keys_and_certificates_are_taken_by_both() {
    let (authority, folder, input) = (Authority::new(), tempfile::tempdir().expect("a folder"), Input::new(20));
    let (certificate, key) = authority.issue(folder.path(), "command line");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.pem).expect("a file");
    let server = Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "secret")
        .variable("AUTHENTICATION_APIKEY_USERS", "ann")
        .variable("AZIMUTH_TLS_CERT_FILE", &certificate.to_string_lossy())
        .variable("AZIMUTH_TLS_KEY_FILE", &key.to_string_lossy())
        .authority(authority.pem.clone())
        .start();
    let url = format!("https://{}", server.http_address());
    let command = |subcommand: &str| {
        let mut command = Command::new(binary());
        command.args([subcommand, "--url", &url, "--certificate"]).arg(&ca).env_remove("AZIMUTH_API_KEY");
        if subcommand == "import" {
            command.args(["--collection", "Thing", "--create", "--objects"]).arg(input.objects());
            command.arg("--vectors").arg(input.vectors());
        }
        command
    };
    for subcommand in ["import", "status"] {
        let (code, _, stderr) = run(&mut command(subcommand));
        assert!(code == 2 && stderr.contains("anonymous access"), "without a key: {code} {stderr}");
        let (code, _, stderr) = run(command(subcommand).args(["--api-key", "wrong"]));
        assert!(code == 2 && stderr.contains("invalid api key"), "with a wrong key: {code} {stderr}");
        let (code, stdout, stderr) = run(command(subcommand).env("AZIMUTH_API_KEY", "secret"));
        assert_eq!(code, 0, "{subcommand}: {stdout}{stderr}");
    }
    let (code, stdout, stderr) = run(Command::new(binary()).args(["status", "--url", &url, "--api-key", "secret"]));
    assert_eq!(code, 2, "a certificate that nobody knows: {stderr}");
    assert!(stdout.contains("not reached") && stdout.contains("certificate"), "the cause is not told: {stdout}");
    let help = run(Command::new(binary()).args(["import", "--help"]).env("AZIMUTH_API_KEY", "secret")).1;
    assert!(!help.contains("secret"), "the help shows the key");
}

#[test]
fn a_server_that_is_not_ready_yet_is_told_from_one_that_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(request) = raw_http::read_message(&mut stream) else { continue };
            let (status, body) = match request.head.split(' ').nth(1) {
                Some("/v1/.well-known/live") => ("200 OK", ""),
                Some("/v1/meta") => ("200 OK", "{\"version\": \"1.35.0\", \"hostname\": \"x\"}"),
                _ => ("503 Service Unavailable", ""),
            };
            let length = body.len();
            // A client may have gone; the next one counts.
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    let (code, stdout, stderr) = run(Command::new(binary()).args(["status", "--url", &address]));
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stdout.contains("not ready"), "{stdout}");
}

#[test]
fn a_terminal_gets_a_bar() {
    let script = Command::new("script").arg("--version").output();
    if !script.is_ok_and(|output| output.status.success()) {
        notice("command line: the bar was not tried, `script` is not installed");
        return;
    }
    let (server, input) = (Server::start(), Input::new(20_000));
    let import = input.import(&server);
    let words: Vec<String> = std::iter::once(import.get_program())
        .chain(import.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]).env("TERM", "xterm");
    let (code, stdout, stderr) = run(command.stdin(Stdio::null()));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains('\u{1b}') && stdout.contains('%') && stdout.contains("left"), "no bar: {stdout:?}");
    assert!(stdout.contains("20000 objects stored"), "{stdout:?}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = CollectionConfig::new("After").unnamed_vector(VectorIndex::hnsw());
        server.client().create_collection(&config).await.expect("the server goes on");
    });
}
