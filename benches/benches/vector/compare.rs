//! All engines over one set in one run: building, memory, and queries a second against recall.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::clock::Spread;
use azimuth_benches::peers::{BUILD_THREADS, Built, Engine, Graph, HnswRs, Ours, Python};
use azimuth_benches::plot::{Curve, recall_plot};
use azimuth_engine::vector::Codes;

const M16: Graph = Graph { m: 16, ef_construction: 128 };
/// What a collection has unless its schema says otherwise.
const DEFAULTS: Graph = Graph { m: 32, ef_construction: 128 };

const DEFAULT_CODES: &str = "azimuth";
const PURE_F32: &str = "azimuth f32";
const REFERENCE: &str = "hnswlib";

const EFS: [usize; 13] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768];

/// Recall at which engines are compared.
const TARGETS: [f64; 4] = [0.95, 0.98, 0.989, 0.995];

/// What was measured of one engine.
struct Row {
    name: String,
    built: Result<Built, String>,
    /// `[ef][round]`.
    rates: Vec<Vec<f64>>,
    recalls: Vec<f64>,
    shares: Vec<f64>,
}

/// Compares the engines whose names hold `only` and writes the plot into `folder`.
pub(crate) fn compare(set: &AnnSet, rounds: usize, only: Option<&str>, folder: &Path) {
    println!(
        "\n## {} ({} x {}): build with {BUILD_THREADS} threads, queries with 1, k 10, efConstruction 128, {rounds} rounds in turn",
        set.name,
        set.rows().len(),
        set.dim
    );
    let mut engines = engines(set, only);
    let mut rows: Vec<Row> = engines.iter_mut().map(|engine| build(&mut **engine, set)).collect();
    print_builds(set, &rows);
    // The first round warms caches up and is not counted.
    for round in 0..=rounds {
        for (i, &ef) in EFS.iter().enumerate() {
            for (engine, row) in engines.iter_mut().zip(&mut rows).filter(|(_, row)| row.built.is_ok()) {
                // Enough is known of an engine that finds all but everything.
                if row.recalls[..i].iter().any(|&recall| recall > 0.9985) {
                    continue;
                }
                match engine.search(set, ef) {
                    Ok(pass) => {
                        row.recalls[i] = pass.recall;
                        if round > 0 {
                            row.rates[i].push(pass.queries_per_second);
                            row.shares.push(pass.share);
                        }
                    }
                    Err(why) => row.built = Err(why),
                }
            }
        }
    }
    rows.iter().for_each(print_row);
    print_ratios(&rows, rounds);
    let curves: Vec<Curve> = rows.iter().map(curve).filter(|curve| !curve.points.is_empty()).collect();
    let path = folder.join(format!("recall-{}.svg", set.name));
    let title = format!("{} ({} x {}), one thread, {rounds} rounds", set.name, set.rows().len(), set.dim);
    match fs::create_dir_all(folder).and_then(|()| fs::write(&path, recall_plot(&title, &curves))) {
        Ok(()) => println!("plot: {}", path.display()),
        Err(error) => println!("no plot: {}: {error}", path.display()),
    }
}

fn engines(set: &AnnSet, only: Option<&str>) -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![
        Box::new(Ours::new(DEFAULT_CODES, M16, Codes::Default)),
        Box::new(Ours::new(PURE_F32, M16, Codes::None)),
        Box::new(Ours::new("azimuth, M 32 (defaults)", DEFAULTS, Codes::Default)),
    ];
    match Python::new(set) {
        Ok(python) => {
            for (engine, name, graph) in [
                ("hnswlib", REFERENCE, M16),
                ("hnswlib", "hnswlib, M 32", DEFAULTS),
                ("faiss", "faiss HNSWFlat", M16),
                ("faiss-sq8", "faiss HNSW-SQ8", M16),
                ("usearch-f32", "usearch f32", M16),
                ("usearch-i8", "usearch i8", M16),
            ] {
                engines.push(Box::new(python.engine(engine, name, graph)));
            }
        }
        Err(why) => println!("hnswlib, faiss, usearch: not installed ({why})"),
    }
    engines.push(Box::new(HnswRs::new(M16)));
    engines.retain(|engine| only.is_none_or(|only| only.split(',').any(|part| engine.name().contains(part))));
    engines
}

fn build(engine: &mut dyn Engine, set: &AnnSet) -> Row {
    let built = engine.build(set);
    Row {
        name: engine.name().to_owned(),
        built,
        rates: vec![Vec::new(); EFS.len()],
        recalls: vec![0.0; EFS.len()],
        shares: Vec::new(),
    }
}

fn print_builds(set: &AnnSet, rows: &[Row]) {
    println!("\n| engine | build, wall s | build, processor s | resident bytes a vector |\n| --- | --- | --- | --- |");
    for row in rows {
        match &row.built {
            Ok(built) => {
                let bytes = built.bytes as f64 / set.rows().len() as f64;
                println!("| {} | {:.2} | {:.2} | {bytes:.0} |", row.name, built.wall, built.cpu);
            }
            Err(why) => println!("| {} | {why} | | |", row.name),
        }
    }
    let of = |name: &str| rows.iter().find(|row| row.name == name).and_then(|row| row.built.as_ref().ok());
    let Some(reference) = of(REFERENCE) else { return };
    for name in [DEFAULT_CODES, PURE_F32] {
        if let Some(ours) = of(name) {
            println!(
                "{name} / {REFERENCE}: build {:.2}x wall, {:.2}x processor time; resident {:.2}x",
                ours.wall / reference.wall,
                ours.cpu / reference.cpu,
                ours.bytes as f64 / reference.bytes as f64
            );
        }
    }
    println!("\n| engine | ef: QPS median (min..max) / recall |\n| --- | --- |");
}

fn print_row(row: &Row) {
    let mut cells = String::new();
    for (i, ef) in EFS.iter().enumerate().filter(|&(i, _)| !row.rates[i].is_empty()) {
        let Spread { median, min, max } = Spread::of(&row.rates[i]);
        write!(cells, "{ef}: {median:.0} ({min:.0}..{max:.0}) / {:.4}; ", row.recalls[i])
            .expect("writing to a string cannot fail");
    }
    let share = 100.0 * Spread::of(&row.shares).median;
    println!("| {} | {cells}processor {share:.0} % of wall |", row.name);
}

/// Queries a second at a recall, by interpolation between two `ef`s; `None` where the sweep does not reach it. Where the
/// least `ef` is already better, that is taken.
fn rate_at(row: &Row, round: usize, target: f64) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        (0..EFS.len()).filter_map(|i| row.rates[i].get(round).map(|&rate| (row.recalls[i], rate))).collect();
    let at = points.iter().position(|&(recall, _)| recall >= target)?;
    let (recall, rate) = points[at];
    let Some(&(before, faster)) = at.checked_sub(1).and_then(|at| points.get(at)) else { return Some(rate) };
    let part = if recall > before { (target - before) / (recall - before) } else { 1.0 };
    Some((faster.ln() + part * (rate.ln() - faster.ln())).exp())
}

fn print_ratios(rows: &[Row], rounds: usize) {
    let Some(reference) = rows.iter().find(|row| row.name == REFERENCE && row.built.is_ok()) else { return };
    println!("\nQPS at equal recall (interpolated) as a multiple of {REFERENCE}, median (min..max) of the rounds:");
    let heads: Vec<String> = TARGETS.iter().map(|target| format!("recall {target}")).collect();
    println!("| engine | {} |\n| --- |{}", heads.join(" | "), " --- |".repeat(TARGETS.len()));
    for row in rows.iter().filter(|row| row.built.is_ok()) {
        let cells: Vec<String> = TARGETS.iter().map(|&target| ratio(row, reference, rounds, target)).collect();
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
}

fn ratio(row: &Row, reference: &Row, rounds: usize, target: f64) -> String {
    let both = |round| Some((rate_at(row, round, target)?, rate_at(reference, round, target)?));
    let pairs: Vec<(f64, f64)> = (0..rounds).filter_map(both).collect();
    if pairs.is_empty() {
        return "not reached".to_owned();
    }
    let Spread { median, min, max } = Spread::of(&pairs.iter().map(|(own, other)| own / other).collect::<Vec<_>>());
    let rate = Spread::of(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>()).median;
    format!("{median:.2}x ({min:.2}..{max:.2}), {rate:.0} QPS")
}

fn curve(row: &Row) -> Curve {
    let measured = (0..EFS.len()).filter(|&i| !row.rates[i].is_empty());
    Curve { name: row.name.clone(), points: measured.map(|i| (row.recalls[i], Spread::of(&row.rates[i]))).collect() }
}
