//! What a query's time goes to: the walk, its distances, and the waiting for their rows.

use std::path::Path;

use azimuth_benches::ann::{AnnSet, K};
use azimuth_benches::clock::{Clock, Spread};
use azimuth_benches::peers::{Graph, build, config};
use azimuth_engine::vector::{Codes, GraphSearchTrial, KernelTrial};

/// One line of the table: a part, and what does it once for every query.
type Line<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// Both tiers, at one `ef`; every line once a round, in turn.
pub(crate) fn parts(set: &AnnSet, rounds: usize, ef: usize) {
    println!("\n## parts of a query, {}, ef {ef}, one thread, {rounds} rounds in turn", set.name);
    for (name, codes) in [("int8 codes", Codes::Default), ("f32", Codes::None)] {
        let (index, _) =
            build(set, config(set, Graph { m: 16, ef_construction: 128 }, codes), Path::new(super::NOWHERE));
        let Some(trial) = GraphSearchTrial::new(&index, set.queries(), ef) else {
            println!("{name}: the index has no graph");
            continue;
        };
        table(set, name, codes == Codes::Default, &trial, rounds);
    }
}

fn table(set: &AnnSet, name: &str, coded: bool, trial: &GraphSearchTrial<'_>, rounds: usize) {
    let queries = set.queries().len() as f64;
    let distances = trial.distances() as f64 / queries;
    let kernels = KernelTrial::new(set.distance, set.dim, set.base.clone());
    let mut values = Vec::new();
    let scan = move || {
        for query in set.queries().take(SCANNED) {
            if coded {
                kernels.score_codes(0, query, &mut values);
            } else {
                kernels.score_rows(0, query, &mut values);
            }
            std::hint::black_box(&values);
        }
    };
    let mut lines: [Line<'_>; 6] = [
        ("query, as a caller asks it", Box::new(|| trial.search(K))),
        ("query made ready (normalised, rotated, coded)", Box::new(|| trial.prepare())),
        ("walk", Box::new(|| trial.graph_search())),
        ("its distances alone, rows from where they are", Box::new(|| trial.distances_alone())),
        ("its distances alone, rows in the nearest cache", Box::new(|| trial.distances_cached())),
        ("bare scan of all rows in order", Box::new(scan)),
    ];
    let mut seconds = vec![Vec::new(); lines.len()];
    for round in 0..=rounds {
        for ((_, line), seconds) in lines.iter_mut().zip(&mut seconds) {
            let clock = Clock::start();
            line();
            if round > 0 {
                seconds.push(clock.elapsed().cpu.as_secs_f64());
            }
        }
    }
    println!("\n{name}: {distances:.0} distances a query\n\n| part | us a query | of the query | ns a distance |");
    println!("| --- | --- | --- | --- |");
    let micros = |line: usize| Spread::of(&seconds[line].iter().map(|s| s / queries * 1e6).collect::<Vec<_>>());
    let whole = micros(0).median;
    for (line, (part, _)) in lines.iter().enumerate().take(5) {
        let Spread { median, min, max } = micros(line);
        let each = if line >= 2 { format!("{:.1}", median * 1e3 / distances) } else { String::new() };
        println!("| {part} | {median:.1} ({min:.1}..{max:.1}) | {:.0} % | {each} |", 100.0 * median / whole);
    }
    let rows = set.rows().len() as f64;
    let scans: Vec<f64> = seconds[5].iter().map(|s| s / set.queries().len().min(SCANNED) as f64 / rows * 1e9).collect();
    let Spread { median, min, max } = Spread::of(&scans);
    println!("| {} | | | {median:.1} ({min:.1}..{max:.1}) |", lines[5].0);
    let part = |from: usize, to: f64| (micros(from).median - to).max(0.0);
    for (what, micros) in [
        ("waiting for rows", part(3, micros(4).median)),
        ("the walk's own: links, visited set, pool", part(2, micros(3).median)),
        ("the rest: plan, originals, answer", part(0, micros(1).median + micros(2).median)),
    ] {
        println!("| {what} (difference) | {micros:.1} | {:.0} % | |", 100.0 * micros / whole);
    }
}

/// Queries that the bare scan answers in a round.
const SCANNED: usize = 50;
