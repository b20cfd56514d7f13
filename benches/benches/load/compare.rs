//! Two servers side by side: each step runs on one and then on the other, so that noise of the machine meets both.
//!
//! `cargo bench -p azimuth-benches --bench load -- --against OLD_BINARY [--rounds 5 --turns 3 --only ingest,on-the-way]`
//!
//! Every round starts both servers on empty folders, in alternating order. The table gives the median of each figure over
//! the rounds and turns, and the median of the ratios within a turn: above 1 means that this server is better.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azimuth_benches::corpus::Corpus;
use azimuth_benches::server::Server;

use super::{Bench, Better, Options, Outcome};

type Exact = Vec<Vec<usize>>;
type Step = fn(&mut Bench, &Server, &Exact) -> Outcome<()>;

/// A step, which measures one server.
struct Part {
    name: &'static str,
    run: Step,
    /// Changes nothing, so that it can be repeated.
    reads: bool,
}

const fn reads(name: &'static str, run: Step) -> Part {
    Part { name, run, reads: true }
}

const fn once(name: &'static str, run: Step) -> Part {
    Part { name, run, reads: false }
}

/// Steps in their order.
const PARTS: [Part; 10] = [
    once("ingest", |bench, server, exact| bench.ingest(server, exact)),
    reads("whole-1", |bench, server, exact| bench.whole_objects(server, exact, 1, ("", ""))),
    reads("whole-8", |bench, server, exact| bench.whole_objects(server, exact, bench.options.clients, ("", ""))),
    reads("ids-1", |bench, server, exact| bench.ids_only(server, exact, 1)),
    reads("on-the-way", |bench, server, exact| bench.on_the_way(server, exact)),
    reads("graphql", |bench, server, exact| bench.over_graphql(server, exact, bench.options.clients)),
    reads("many-a-call", |bench, server, exact| bench.many_a_call(server, exact)),
    reads("filtered", |bench, server, _| bench.filtered_queries(server)),
    once("rest-ingest", |bench, server, _| bench.rest_ingest(server)),
    once("resources", |bench, server, _| bench.resources(server)),
];

/// A value of both servers in one round, the other one first.
type Pair = [f64; 2];

/// Measures `[other, this]` and prints the table.
pub(crate) fn run(options: &Options, corpus: &Arc<Corpus>, binaries: &[PathBuf; 2]) -> Outcome<()> {
    let exact = corpus.exact(|_| true);
    let mut order = Vec::new();
    let mut pairs: BTreeMap<String, (Better, Vec<Pair>)> = BTreeMap::new();
    for round in 0..options.rounds.max(1) {
        eprintln!("round {} of {}", round + 1, options.rounds.max(1));
        let folder = tempfile::Builder::new().prefix("azimuth-compare-").tempdir()?;
        let [other, this] = one_round(options, corpus, &exact, binaries, folder.path(), round % 2 == 1)?;
        for (other, this) in other.figures.into_iter().zip(this.figures) {
            if !pairs.contains_key(&this.what) {
                order.push(this.what.clone());
            }
            pairs.entry(this.what).or_insert((this.better, Vec::new())).1.push([other.value, this.value]);
        }
    }
    println!("\n| | other | this | this / other, median (min..max) |\n| --- | --- | --- | --- |");
    for what in order {
        let (better, pairs) = &pairs[&what];
        let gain = |[other, this]: &Pair| if *better == Better::Higher { this / other } else { other / this };
        let mut gains: Vec<f64> = pairs.iter().map(gain).collect();
        gains.sort_by(f64::total_cmp);
        let of = |side: usize| median(pairs.iter().map(|pair| pair[side]).collect());
        let (least, most) = (gains[0], gains[gains.len() - 1]);
        println!("| {what} | {:.1} | {:.1} | {:.3} ({least:.3}..{most:.3}) |", of(0), of(1), median(gains));
    }
    Ok(())
}

fn one_round(
    options: &Options,
    corpus: &Arc<Corpus>,
    exact: &Exact,
    binaries: &[PathBuf; 2],
    folder: &Path,
    this_first: bool,
) -> Outcome<[Bench; 2]> {
    let bench = |side: usize| {
        let folder = folder.join(side.to_string());
        std::fs::create_dir(&folder)?;
        Bench::new(options.clone(), corpus.clone(), binaries[side].clone(), &folder)
    };
    let mut benches = [bench(0)?, bench(1)?];
    let start = |bench: &Bench| Server::start(&bench.binary, &bench.data);
    let servers = [start(&benches[0])?, start(&benches[1])?];
    let asked = |part: &&Part| {
        part.name == "ingest" || options.only.is_empty() || options.only.iter().any(|only| only == part.name)
    };
    for part in PARTS.iter().filter(asked) {
        for turn in 0..if part.reads { options.turns.max(1) } else { 1 } {
            let mut sides = [0, 1];
            if this_first != (turn % 2 == 1) {
                sides.reverse();
            }
            for side in sides {
                (part.run)(&mut benches[side], &servers[side], exact)?;
            }
        }
    }
    for server in servers {
        server.stop()?;
    }
    Ok(benches)
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
