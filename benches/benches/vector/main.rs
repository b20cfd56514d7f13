//! The vector index in process, beside its peers, in one run. `benches/README.md` says how to read it.
//!
//! `cargo bench -p azimuth-benches --bench vector -- [part ..] [options]`; without a part all run but the million.
#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

mod churn;
mod codes;
mod compare;
mod filter;
mod ingest;
mod million;
mod parts;
mod scan;
mod walk;

use std::path::PathBuf;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::peers::{Graph, config};
use azimuth_engine::vector::{Codes, Distance};
use clap::{Parser, ValueEnum};

/// A folder that is never written to.
const NOWHERE: &str = "/nonexistent/azimuth-bench";

#[derive(Parser)]
#[command(about = "The vector index in process, beside its peers.")]
struct Options {
    /// What to measure; everything if nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds in turn over all that is compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Engines to compare: parts of their names, between commas.
    #[arg(long)]
    only: Option<String>,
    /// A set of your own (.fbin) instead of the built-in ones; wants --queries.
    #[arg(long, requires = "queries")]
    data: Option<PathBuf>,
    /// Its queries (.fbin).
    #[arg(long)]
    queries: Option<PathBuf>,
    /// Its distance is squared Euclidean instead of cosine.
    #[arg(long)]
    l2: bool,
    /// Also a million vectors: build, memory, queries, save, reopen.
    #[arg(long)]
    million: bool,
    /// How many vectors that is.
    #[arg(long, default_value_t = 1_000_000)]
    million_rows: usize,
    /// `ef` of the parts `parts` and `walk`.
    #[arg(long, default_value_t = 64)]
    ef: usize,
    /// Seconds and filter (in per cent) of the part `walk`.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long)]
    percent: Option<f64>,
    /// Instead: a filter against the query, which excludes so many per cent, those nearest to it.
    #[arg(long)]
    without: Option<f64>,
    /// The part `walk` compares f32 instead of codes.
    #[arg(long)]
    f32: bool,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kernels, simsimd, memory bandwidth.
    Scan,
    /// All engines on minilm-docs.
    Real,
    /// All engines on 200,000 x 128 in 500 clusters.
    Clustered,
    /// All engines on 768 components.
    Pairs,
    /// What a query's time goes to.
    Parts,
    /// Every kind of codes, on one graph and in a scan.
    Codes,
    /// Filtered search.
    Filter,
    /// After updates and deletes.
    Churn,
    /// Latency while inserting.
    Ingest,
    /// Save and reopen.
    Save,
    /// The same queries over and over, for a profiler; only if named.
    Walk,
}

fn main() {
    let options = Options::parse();
    let wanted = |part| options.parts.is_empty() && !options.million || options.parts.contains(&part);
    let plots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-plots");
    let compare = |set: &AnnSet| compare::compare(set, options.rounds, options.only.as_deref(), &plots);
    let ours = |set: &AnnSet| config(set, Graph { m: 16, ef_construction: 128 }, Codes::Default);
    let own = options.data.as_ref().zip(options.queries.as_ref()).map(|(data, queries)| {
        AnnSet::from_files(data, queries, if options.l2 { Distance::L2Squared } else { Distance::Cosine })
    });
    let main_set = match own {
        Some(Err(why)) => return println!("{why}"),
        Some(Ok(set)) => Some(set),
        None => AnnSet::real(),
    };
    if main_set.is_none() {
        println!("{} is absent: set AZIMUTH_SHARED; the parts on real data are left out", AnnSet::folder().display());
    }
    if let Some(set) = &main_set {
        if wanted(Part::Scan) {
            scan::scans(set, options.rounds);
        }
        if wanted(Part::Real) {
            compare(set);
        }
        if wanted(Part::Pairs) && options.data.is_none() {
            compare(&set.pairs());
        }
        if wanted(Part::Parts) {
            parts::parts(set, options.rounds, options.ef);
        }
        if wanted(Part::Codes) {
            codes::codes(set, options.rounds, ours(set));
        }
        if wanted(Part::Filter) {
            filter::filters(set, options.rounds, ours(set));
        }
        if wanted(Part::Churn) {
            churn::churn(set, options.rounds, ours(set));
        }
        if wanted(Part::Ingest) {
            ingest::ingest(set, ours(set));
        }
        if options.parts.contains(&Part::Walk) {
            let against = options.without.map(|excluded| filter::against(set, excluded));
            let filter = against.or_else(|| options.percent.map(|percent| filter::independent(set, percent)));
            let codes = if options.f32 { Codes::None } else { Codes::Default };
            let config = config(set, Graph { m: 16, ef_construction: 128 }, codes);
            walk::walk(set, options.seconds, options.ef, filter.as_ref(), config);
        }
        if wanted(Part::Save) {
            million::life(set, options.rounds, ours(set));
        }
    }
    if wanted(Part::Clustered) && options.data.is_none() {
        compare(&AnnSet::clustered(200_000, 500, 128));
    }
    if options.million {
        let set = match &main_set {
            Some(set) => set.between(options.million_rows, 200),
            None => AnnSet::clustered(options.million_rows, options.million_rows / 400, 384),
        };
        million::life(&set, options.rounds, ours(&set));
    }
}
