//! Keyword searches against a scan of all objects: random schemas, texts, deletions, background work and restarts.
//!
//! Each object is written to a collection of its own shard and to one of eight others, by its number: the answers of the
//! eight, weighed by the sums of their statistics, must be those of the one to the last bit.
//!
//! The seed is printed; `AZIMUTH_TEST_SEED=<n>` runs that one alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use azimuth_engine::command::Command;
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{PropertyId, ShardKey};
use azimuth_engine::maintain::WorkBudget;
use azimuth_engine::object::Value;
use azimuth_engine::query::{
    Filter, FilterValue, Hit, Include, Keyword, KeywordOperator, KeywordStatistics, Operator, Path, Query, Rank,
    SearchedProperty, ShardAnswer, ShardRead, Subject,
};
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{Bm25, Collection, DataType, Primitive, Property, TextAnalyzer, Tokenization};
use azimuth_engine::tokenizer;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use crate::support::{apply, at, collection, copy_as_killed, id, object, one, options, property, put};

/// Collections beside the first, which has all objects.
const PARTS: u64 = 8;
const WORDS: [&str; 14] =
    ["harbour", "the", "lamp", "Net", "water", "salt", "of", "café", "cafe", "wind", "tide", "boat", "x-y", "lavender"];

/// An object: number, and the texts of each property.
type Model = BTreeMap<u64, (i64, BTreeMap<String, Vec<String>>)>;

fn schema(number: u32, properties: &[Property], bm25: &Bm25, preset: &str) -> Collection {
    let mut properties = properties.to_vec();
    properties.push(one("number", Primitive::Int));
    let mut made = collection(number, &format!("Keyword{number}"), properties);
    made.inverted.bm25 = bm25.clone();
    made.inverted.stopwords.preset = preset.into();
    made
}

fn texts(rng: &mut ChaCha8Rng) -> Vec<Property> {
    let fold = || TextAnalyzer { ascii_fold: Some(true), ..TextAnalyzer::default() };
    let mut properties = Vec::new();
    for n in 0..rng.random_range(1..5) {
        let list = rng.random_bool(0.3);
        let kind = if list { DataType::list(Primitive::Text) } else { DataType::one(Primitive::Text) };
        let mut made = property(&format!("text{n}"), kind);
        made.tokenization = Some(match rng.random_range(0..8) {
            0 => Tokenization::Field,
            1 => Tokenization::Lowercase,
            2 => Tokenization::Trigram,
            3 => Tokenization::Whitespace,
            _ => Tokenization::Word,
        });
        made.text_analyzer = rng.random_bool(0.2).then(fold);
        properties.push(made);
    }
    properties
}

fn line(rng: &mut ChaCha8Rng) -> String {
    let count = [1, 2, 3, 8, 40][rng.random_range(0..5)];
    let word = |rng: &mut ChaCha8Rng| {
        let n = rng.random_range(0..WORDS.len() * WORDS.len()) as f64;
        WORDS[n.sqrt() as usize]
    };
    (0..rng.random_range(0..=count)).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

/// The collection's shards that have the object with that number.
fn shards_of(n: u64) -> [ShardKey; 2] {
    [at(1), at(2 + u32::try_from(n % PARTS).unwrap())]
}

fn parts() -> Vec<ShardKey> {
    (0..PARTS).map(|part| shards_of(part)[1]).collect()
}

fn write(rng: &mut ChaCha8Rng, ids: u64, properties: &[Property], model: &mut Model) -> [Command; 2] {
    let n = rng.random_range(0..ids);
    if rng.random_bool(0.1) {
        model.remove(&n);
        return shards_of(n).map(|at| Command::Delete { at, id: id(n) });
    }
    let number = rng.random_range(0..50);
    let mut of = BTreeMap::new();
    let mut values = vec![("number", Value::Int(number))];
    for property in properties {
        if rng.random_bool(0.15) {
            continue;
        }
        let is_list = matches!(property.data_type, DataType::Primitive { list: true, .. });
        let lines: Vec<String> = (0..if is_list { rng.random_range(0..4) } else { 1 }).map(|_| line(rng)).collect();
        let value = match is_list {
            true => Value::List(lines.iter().cloned().map(Value::Text).collect()),
            false => Value::Text(lines[0].clone()),
        };
        values.push((property.name.as_str(), value));
        of.insert(property.name.clone(), lines);
    }
    model.insert(n, (number, of));
    shards_of(n).map(|at| put(at, object(n, &values, None)))
}

/// Frequency and length of a term in each property where it counts: objects that have the same have the same score.
type Signature = Vec<(usize, usize, usize, usize)>;

/// The score of every object that matches, by the formula.
fn scores(model: &Model, schema: &Collection, keyword: &Keyword) -> HashMap<Uuid, (f64, Signature)> {
    let properties: Vec<&Property> = keyword
        .properties
        .iter()
        .map(|searched| schema.properties().iter().find(|property| property.id == searched.property).unwrap())
        .collect();
    let cut = |property: &Property, text: &str| {
        tokenizer::tokenize(property.tokenization.unwrap(), &tokenizer::analyze(property.text_analyzer.as_ref(), text))
    };
    // Tokens of each object, per property.
    let tokens: BTreeMap<u64, Vec<Vec<String>>> = model
        .iter()
        .map(|(n, (_, of))| {
            let of_property = |property: &&Property| {
                of.get(&property.name).into_iter().flatten().flat_map(|text| cut(property, text)).collect()
            };
            (*n, properties.iter().map(of_property).collect())
        })
        .collect();
    let terms: Vec<Vec<(String, f64)>> = properties
        .iter()
        .map(|property| {
            let stopwords = tokenizer::stopwords(&schema.inverted, Some(property));
            let mut terms: Vec<(String, f64)> = Vec::new();
            for term in cut(property, &keyword.query) {
                let is_word = property.tokenization == Some(Tokenization::Word);
                if term.is_empty() || is_word && stopwords.contains(&term) {
                    continue;
                }
                match terms.iter_mut().find(|(known, _)| *known == term) {
                    Some((_, count)) => *count += 1.0,
                    None => terms.push((term, 1.0)),
                }
            }
            terms
        })
        .collect();
    let having = |p: usize, term: &str| tokens.values().filter(|of| of[p].iter().any(|token| token == term)).count();
    let group = |p: usize| (properties[p].tokenization, properties[p].text_analyzer.clone());
    let idf: Vec<Vec<f64>> = (0..properties.len())
        .map(|p| {
            let idf = |(term, _): &(String, f64)| {
                let of_group = (0..properties.len()).filter(|other| group(*other) == group(p));
                let counts: Vec<usize> = of_group.map(|p| having(p, term)).filter(|count| *count > 0).collect();
                let n = counts.iter().sum::<usize>().checked_div(counts.len()).unwrap_or(0) as f64;
                (1.0 + (model.len() as f64 - n + 0.5) / (n + 0.5)).ln()
            };
            terms[p].iter().map(idf).collect()
        })
        .collect();
    let mean: Vec<f64> = (0..properties.len())
        .map(|p| {
            let lengths: Vec<usize> = tokens.values().map(|of| of[p].len()).filter(|length| *length > 0).collect();
            lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
        })
        .collect();
    let (k1, b) = (schema.inverted.bm25.k1.unwrap_or(1.2), schema.inverted.bm25.b.unwrap_or(0.75));
    let mut scores = HashMap::new();
    for (n, of) in &tokens {
        let frequency = |p: usize, term: &str| of[p].iter().filter(|token| *token == term).count();
        let (mut sum, mut signature, mut seen) = (0.0, Vec::new(), BTreeSet::new());
        for p in 0..properties.len() {
            let found: Vec<usize> = (0..terms[p].len()).filter(|t| frequency(p, &terms[p][*t].0) > 0).collect();
            let needed = match keyword.operator {
                KeywordOperator::Or { minimum } => (minimum as usize).max(1),
                KeywordOperator::And => terms[p].len().max(1),
                KeywordOperator::AndCross => 1,
            };
            if found.len() < needed {
                continue;
            }
            for t in found {
                seen.insert(t);
                let (f, length) = (frequency(p, &terms[p][t].0), of[p].len());
                let norm = k1 * (1.0 - b + b * length as f64 / mean[p]);
                let weight = idf[p][t] * terms[p][t].1 * keyword.properties[p].boost;
                sum += weight * f as f64 / (f as f64 + norm);
                signature.push((p, t, f, length));
            }
        }
        let matches = match keyword.operator {
            KeywordOperator::AndCross => !terms[0].is_empty() && seen.len() == terms[0].len(),
            KeywordOperator::And | KeywordOperator::Or { .. } => !signature.is_empty(),
        };
        if matches {
            scores.insert(id(*n), (sum, signature));
        }
    }
    scores
}

fn keyword(rng: &mut ChaCha8Rng, schema: &Collection) -> Keyword {
    let searchable: Vec<&Property> = schema.properties().iter().filter(|property| property.searchable).collect();
    let mut chosen: Vec<&Property> = searchable.iter().filter(|_| rng.random_bool(0.6)).copied().collect();
    if chosen.is_empty() {
        chosen.push(searchable[rng.random_range(0..searchable.len())]);
    }
    let operator = match rng.random_range(0..6) {
        0 => KeywordOperator::And,
        1 => {
            let kind = |property: &Property| (property.tokenization, property.text_analyzer.clone());
            let first = kind(chosen[0]);
            chosen.retain(|property| kind(property) == first);
            KeywordOperator::AndCross
        }
        _ => KeywordOperator::Or { minimum: [0, 0, 0, 1, 2, 3][rng.random_range(0..6)] },
    };
    let boost = |rng: &mut ChaCha8Rng| [1.0, 1.0, 1.0, 2.5, 0.0, -1.0][rng.random_range(0..6)];
    let searched = |property: &&Property, rng: &mut ChaCha8Rng| SearchedProperty {
        property: PropertyId(property.id.0),
        boost: boost(rng),
    };
    let words = rng.random_range(1..6);
    Keyword {
        query: (0..words).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect::<Vec<_>>().join(" "),
        properties: chosen.iter().map(|property| searched(property, rng)).collect(),
        operator,
        statistics: None,
        explain: rng.random_bool(0.2),
    }
}

fn search(group: &DataGroup, at: ShardKey, query: Query) -> Vec<Hit> {
    match group.execute(ShardRead::Search { at, queries: vec![query], with_keys: false }).unwrap() {
        ShardAnswer::Hits(mut hits) => hits.pop().unwrap().unwrap().hits,
        other => panic!("{other:?}"),
    }
}

fn statistics(group: &DataGroup, at: ShardKey, keyword: &Keyword) -> KeywordStatistics {
    match group.execute(ShardRead::KeywordStatistics { at, keyword: keyword.clone() }).unwrap() {
        ShardAnswer::KeywordStatistics(statistics) => statistics,
        other => panic!("{other:?}"),
    }
}

/// The page, from the shards of the parts.
fn over_parts(group: &DataGroup, query: &Query, keyword: &Keyword) -> Vec<Hit> {
    let mut sum: Option<KeywordStatistics> = None;
    for at in parts() {
        let counted = statistics(group, at, keyword);
        match &mut sum {
            Some(sum) => sum.add(&counted).unwrap(),
            None => sum = Some(counted),
        }
    }
    let rank = Rank::Keyword(Keyword { statistics: sum, ..keyword.clone() });
    let of_part = Query { rank, offset: 0, limit: query.offset + query.limit, ..query.clone() };
    let mut hits: Vec<Hit> = parts().into_iter().flat_map(|at| search(group, at, of_part.clone())).collect();
    hits.sort_by(Hit::by_score);
    hits.into_iter().skip(query.offset).take(query.limit).collect()
}

fn check(group: &DataGroup, model: &Model, schema: &Collection, rng: &mut ChaCha8Rng, seed: u64) {
    let keyword = keyword(rng, schema);
    let below = [None, Some(1), Some(5), Some(30)][rng.random_range(0..4)];
    let path = Path { through: Vec::new(), subject: Subject::Property("number".into()) };
    let filter =
        below.map(|below| Filter::Compare { path, operator: Operator::LessThan, value: FilterValue::Int(below) });
    let scores = scores(model, schema, &keyword);
    let is_match = |id: &Uuid| below.is_none_or(|below| model[&id.as_u64_pair().1].0 < below);
    let mut wanted: Vec<(Uuid, f64)> =
        scores.iter().filter(|(id, _)| is_match(id)).map(|(id, (score, _))| (*id, *score)).collect();
    wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (offset, limit) = (rng.random_range(0..20), [1, 10, 200, 5_000][rng.random_range(0..4)]);
    let query = Query {
        rank: Rank::Keyword(keyword.clone()),
        filter,
        offset,
        limit,
        sort: Vec::new(),
        include: Include::default(),
    };
    let context = format!("seed {seed}, {keyword:?}, {below:?}, {offset}, {limit}");
    let hits = search(group, at(1), query.clone());
    let found: Vec<(Uuid, f32)> = hits.iter().map(|hit| (hit.object.id, hit.score.as_ref().unwrap().value)).collect();
    let on_page = wanted.len().saturating_sub(offset).min(limit);
    assert_eq!(found.len(), on_page, "{context}");
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3);
    for ((id, score), (_, nth)) in found.iter().zip(&wanted[offset.min(wanted.len())..]) {
        assert!(near(f64::from(*score), scores[id].0), "{id} {score} {}, {context}", scores[id].0);
        assert!(near(f64::from(*score), *nth), "{id} {score} {nth}, {context}");
    }
    assert!(hits.windows(2).all(|pair| pair[0].by_score(&pair[1]).is_lt()), "{context}");
    // Of objects with equal scores those with the least ids are on the earlier page.
    let whole = Query { offset: 0, limit: 100_000, ..query.clone() };
    let all: Vec<Uuid> = search(group, at(1), whole).iter().map(|hit| hit.object.id).collect();
    assert_eq!(all.len(), wanted.len(), "{context}");
    let page: Vec<Uuid> = all.iter().copied().skip(offset).take(limit).collect();
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), page, "{context}");
    for pair in all.windows(2) {
        assert!(scores[&pair[0]].1 != scores[&pair[1]].1 || pair[0] < pair[1], "{context}");
    }
    for hit in hits.iter().filter(|_| keyword.explain) {
        assert!(!hit.score.as_ref().unwrap().explanation.is_empty(), "{context}");
    }
    let exact = |hits: &[Hit]| hits.iter().map(|hit| (hit.object.id, hit.score.clone())).collect::<Vec<_>>();
    assert_eq!(exact(&over_parts(group, &query, &keyword)), exact(&hits), "{context}");
}

fn opened(dir: &TempDir, segment_entries_min: usize) -> Arc<DataGroup> {
    let options = GroupOptions { segment_entries_min, compaction_changes_min: 50, ..options() };
    DataGroup::open(dir.path(), options).unwrap().0
}

fn run(seed: u64, steps: usize) {
    println!("AZIMUTH_TEST_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let segment_entries_min = [1, 40, 400, usize::MAX][rng.random_range(0..4)];
    let ids = [60, 900, 6_000][rng.random_range(0..3)];
    let properties = texts(&mut rng);
    let bm25 = match rng.random_range(0..4) {
        0 => Bm25 { k1: Some(0.0), b: Some(0.75) },
        1 => Bm25 { k1: Some(2.0), b: Some(1.0) },
        _ => Bm25::default(),
    };
    let preset = ["en", "none"][rng.random_range(0..2)];
    let mut dir = tempdir().unwrap();
    let mut group = opened(&dir, segment_entries_min);
    let numbers = 1..=1 + u32::try_from(PARTS).unwrap();
    let schemas: Vec<Collection> = numbers.map(|number| schema(number, &properties, &bm25, preset)).collect();
    apply(&group, schemas.iter().cloned().map(|schema| Command::PutCollection(Box::new(schema))).collect());
    let mut model = Model::new();
    for step in 0..steps {
        let count = [1, 10, 300, 1_500][rng.random_range(0..4)];
        let writes: Vec<Command> = (0..count).flat_map(|_| write(&mut rng, ids, &properties, &mut model)).collect();
        apply(&group, writes);
        for _ in 0..rng.random_range(0..12) {
            let keys_max = [3, 64, 5_000][rng.random_range(0..3)];
            if !group.work(&WorkBudget { keys_max, ..WorkBudget::default() }).unwrap().more {
                break;
            }
        }
        match rng.random_range(0..12) {
            0 => {
                group.flush().unwrap();
                dir = copy_as_killed(dir.path());
                group = opened(&dir, segment_entries_min);
            }
            1 => group.rebuild_inverted(at(1)),
            2 => while group.work(&WorkBudget { keys_max: 5_000, ..WorkBudget::default() }).unwrap().more {},
            _ => {}
        }
        if step % 2 == 0 {
            (0..6).for_each(|_| check(&group, &model, &schemas[0], &mut rng, seed));
        }
    }
    assert_eq!(group.metrics().inverted_damaged, 0);
}

#[test]
fn keyword_searches_find_what_a_scan_finds() {
    if let Some(seed) = std::env::var("AZIMUTH_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed, 20);
    }
    let fresh = rand::rng().next_u64();
    for seed in (1..=12).chain([fresh]) {
        run(seed, 20);
    }
}

#[test]
fn searches_that_cannot_be_answered_are_refused() {
    let dir = tempdir().unwrap();
    let group = opened(&dir, 60);
    let (mut silent, mut low) = (one("silent", Primitive::Text), one("low", Primitive::Text));
    silent.searchable = false;
    low.tokenization = Some(Tokenization::Lowercase);
    let made = schema(1, &[one("text", Primitive::Text), silent, low], &Bm25::default(), "en");
    // Searches of a shard without objects do not read their queries.
    let one_object = put(at(1), object(1, &[("text", Value::Text("x".into()))], None));
    apply(&group, vec![Command::PutCollection(Box::new(made.clone())), one_object]);
    let check = |names: &[&str], operator, query: &str, wanted: Option<&str>| {
        let searched = |name: &&str| SearchedProperty { property: made.property(name).unwrap().id, boost: 1.0 };
        let properties = names.iter().map(searched).collect();
        let keyword = Keyword { query: query.into(), properties, operator, statistics: None, explain: false };
        let rank = Rank::Keyword(keyword);
        let query = Query { rank, filter: None, offset: 0, limit: 3, sort: Vec::new(), include: Include::default() };
        match (group.search(at(1), &query), wanted) {
            (Ok(hits), None) => assert_eq!(hits, []),
            (Err(error), Some(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (other, _) => panic!("{names:?} {other:?}"),
        }
    };
    let or = KeywordOperator::Or { minimum: 0 };
    check(&["text", "low"], or, "lamp", None);
    check(&["text"], or, "the of", None);
    check(&[], or, "lamp", None);
    check(&["silent"], or, "lamp", Some("not searchable"));
    check(&["number"], or, "lamp", Some("not searchable"));
    check(&["text", "text"], or, "lamp", Some("twice"));
    check(&["text", "low"], KeywordOperator::AndCross, "lamp", Some("AndCross"));
    let long: String = (0..20_000).map(|n| format!("w{n} ")).collect();
    check(&["text"], or, &long, Some("limit of 16384"));
}
