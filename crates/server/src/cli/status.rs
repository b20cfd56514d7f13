//! `azimuth status`: whether a server is up and ready, and what it holds.
//!
//! Exit code 0: ready. 1: live, but not ready yet. 2: not reached, or it refused to answer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use azimuth_client::{Client, RetryPolicy};
use serde::Serialize;
use serde_json::Value;

use super::connect::{ConnectArgs, runtime};
use super::terminal::{complain, say};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Show whether the server is ready, and its collections with their counts.
///
/// Exit code: 0 ready, 1 live but not ready, 2 not reached or refused.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Asks, prints, and returns the exit code. Not to be called inside a runtime: it brings its own.
pub(crate) fn run(args: &Args) -> ExitCode {
    let retry = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let asked = runtime().and_then(|runtime| {
        let client = args.connect.client(&runtime, retry, TIMEOUT)?;
        let report = runtime.block_on(Report::ask(&client, args.connect.url()));
        report.map_err(|error| format!("asking {}: {error}", args.connect.url()))
    });
    match asked {
        Ok(report) => {
            say(if args.json { report.to_json() } else { report.to_table() });
            if report.ready { ExitCode::SUCCESS } else { ExitCode::from(if report.live { 1 } else { 2 }) }
        }
        Err(trouble) => {
            complain(trouble);
            ExitCode::from(2)
        }
    }
}

/// What the server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    url: String,
    live: bool,
    ready: bool,
    grpc: bool,
    /// Why it was not reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    /// The same for gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_trouble: Option<String>,
    version: Option<String>,
    nodes: Vec<Node>,
    collections: Vec<Holding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Node {
    name: String,
    status: String,
    objects: u64,
    shards: u64,
}

/// One collection; sums over its shards on all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Holding {
    name: String,
    objects: u64,
    shards: u64,
    vector_queue: u64,
}

impl Report {
    async fn ask(client: &Client, url: &str) -> azimuth_client::Result<Report> {
        let (live, ready, grpc) = tokio::join!(client.is_live(), client.is_ready(), client.check_grpc());
        let mut report = Report {
            url: url.to_owned(),
            live,
            ready,
            grpc: grpc.is_ok(),
            trouble: None,
            grpc_trouble: grpc.err().map(|error| error.to_string()),
            version: None,
            nodes: Vec::new(),
            collections: Vec::new(),
        };
        if live {
            report.version = Some(client.meta().await?.version);
        } else {
            // A probe knows only that there was no answer; another call gives the reason.
            report.trouble = client.meta().await.err().map(|error| error.to_string());
        }
        if ready {
            let (nodes, collections) = tokio::try_join!(client.nodes(true), client.list_collections())?;
            report.fill(&nodes, &collections);
        }
        Ok(report)
    }

    fn fill(&mut self, nodes: &[Value], collections: &[Value]) {
        let mut holdings: BTreeMap<String, Holding> = BTreeMap::new();
        for name in collections.iter().filter_map(|collection| collection["class"].as_str()) {
            holdings.insert(name.to_owned(), Holding { name: name.to_owned(), ..Holding::default() });
        }
        for node in nodes {
            let shards = node["shards"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut objects = 0;
            for shard in shards {
                let count = shard["objectCount"].as_u64().unwrap_or(0);
                objects += count;
                if let Some(holding) = shard["class"].as_str().and_then(|name| holdings.get_mut(name)) {
                    holding.objects += count;
                    holding.shards += 1;
                    holding.vector_queue += shard["vectorQueueLength"].as_u64().unwrap_or(0);
                }
            }
            let text = |key: &str| node[key].as_str().unwrap_or("?").to_owned();
            self.nodes.push(Node {
                name: text("name"),
                status: text("status"),
                objects: node["stats"]["objectCount"].as_u64().unwrap_or(objects),
                shards: node["stats"]["shardCount"].as_u64().unwrap_or(shards.len() as u64),
            });
        }
        self.collections = holdings.into_values().collect();
    }

    fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("texts and numbers only");
        text + "\n"
    }

    fn to_table(&self) -> String {
        let state = match (self.live, self.ready) {
            (_, true) => "ready",
            (true, false) => "live, not ready yet",
            (false, false) => "not reached",
        };
        let version = self.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
        let because = |trouble: &Option<String>| trouble.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        let trouble = because(&self.trouble);
        // One cause is enough for a server that is not reached at all.
        let grpc = match (self.grpc, self.live) {
            (true, _) => String::new(),
            (false, true) => format!(", no answer over gRPC{}", because(&self.grpc_trouble)),
            (false, false) => "\nno answer over gRPC either".to_owned(),
        };
        let mut text = format!("{}: {state}{trouble}{version}{grpc}\n", self.url);
        if !self.nodes.is_empty() {
            let rows = self.nodes.iter().map(|node| {
                [node.name.clone(), node.status.clone(), node.objects.to_string(), node.shards.to_string()]
            });
            text += &table(["node", "status", "objects", "shards"], rows);
        }
        if !self.collections.is_empty() {
            let rows = self.collections.iter().map(|holding| {
                let numbers = [holding.objects, holding.shards, holding.vector_queue].map(|number| number.to_string());
                let [objects, shards, queue] = numbers;
                [holding.name.clone(), objects, shards, queue]
            });
            text += &table(["collection", "objects", "shards", "vector queue"], rows);
        }
        text
    }
}

/// Columns as wide as their widest cell; numbers to the right.
fn table(head: [&str; 4], rows: impl Iterator<Item = [String; 4]>) -> String {
    let rows: Vec<[String; 4]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let numeric: [bool; 4] = std::array::from_fn(|column| {
        rows.iter().skip(1).all(|row| row[column].bytes().all(|byte| byte.is_ascii_digit()))
    });
    let mut text = "\n".to_owned();
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), numeric) in row.iter().zip(widths).zip(numeric) {
            let written = if numeric { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
            written.expect("writing to a string cannot fail");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let mut report = Report {
            url: "http://h:1".to_owned(),
            live: true,
            ready: true,
            grpc: true,
            trouble: None,
            grpc_trouble: None,
            version: Some("1.35.0".to_owned()),
            nodes: Vec::new(),
            collections: Vec::new(),
        };
        let nodes = json!([
            {"name": "a", "status": "HEALTHY", "stats": {"objectCount": 12, "shardCount": 3}, "shards": [
                {"class": "Book", "objectCount": 10, "vectorQueueLength": 4},
                {"class": "Book", "objectCount": 1},
                {"class": "Gone", "objectCount": 1},
            ]},
            {"name": "longer", "status": "HEALTHY", "shards": null},
        ]);
        let collections = json!([{"class": "Book"}, {"class": "Empty"}]);
        report.fill(nodes.as_array().expect("a list"), collections.as_array().expect("a list"));
        report
    }

    #[test]
    fn counts_are_summed_over_shards_and_collections_without_shards_are_listed() {
        let report = report();
        let book = Holding { name: "Book".to_owned(), objects: 11, shards: 2, vector_queue: 4 };
        let empty = Holding { name: "Empty".to_owned(), ..Holding::default() };
        assert_eq!(report.collections, [book, empty]);
        assert_eq!((report.nodes[0].objects, report.nodes[1].objects), (12, 0));
        let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(json["collections"][0]["vector_queue"], 4);
    }

    #[test]
    fn the_table_is_aligned() {
        let expected = "http://h:1: ready, version 1.35.0\n\
            \n\
            node    status   objects  shards\n\
            a       HEALTHY       12       3\n\
            longer  HEALTHY        0       0\n\
            \n\
            collection  objects  shards  vector queue\n\
            Book             11       2             4\n\
            Empty             0       0             0\n";
        assert_eq!(report().to_table(), expected);
    }
}
