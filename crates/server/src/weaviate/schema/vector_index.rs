//! Settings of vector indexes as the wire gives and shows them, and what the engine makes of them.
//!
//! Settings are read as Weaviate reads them: names in their exact case, values of a wrong type and unknown names are
//! ignored, whole numbers with a fraction are refused, everything left out takes its default.

use azimuth_engine::schema::VectorIndexKind;
use azimuth_engine::vector::{Codes, Distance, FilterStrategy, HnswConfig, IndexConfig, IndexKind};
use serde_json::{Map, Value, json};

use crate::settings::Settings;

/// Most objects that a cache of vectors may hold, by default.
const CACHE_OBJECTS: i64 = 1_000_000_000_000;

/// Settings of one index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VectorIndex {
    /// Which kind.
    pub(crate) kind: VectorIndexKind,
    /// All settings as the wire shows them.
    pub(crate) wire: Value,
    /// What the engine is told.
    pub(crate) engine: IndexConfig,
    /// Whether objects carry several vectors each.
    pub(crate) multi: bool,
}

impl VectorIndex {
    /// The index of a new collection: with the server's default quantizer, if it names none, does not refuse one, and its
    /// kind can have this one.
    pub(crate) fn quantized(mut self, settings: &Settings) -> Self {
        let (code, bits) = match settings.default_quantization.as_str() {
            "rq-8" => ("rq", Some(8)),
            "rq-1" => ("rq", Some(1)),
            code @ ("pq" | "bq" | "sq") => (code, None),
            _ => return self,
        };
        let scanned = code == "bq" || code == "rq";
        let changed = match self.kind {
            VectorIndexKind::Hnsw => enable(&mut self.wire, code, bits),
            VectorIndexKind::Flat => scanned && enable(&mut self.wire, code, bits),
            VectorIndexKind::Dynamic => {
                enable(&mut self.wire["hnsw"], code, bits) | (scanned && enable(&mut self.wire["flat"], code, bits))
            }
            VectorIndexKind::Hfresh | VectorIndexKind::None => false,
        };
        if changed && let Ok(engine) = engine_config(self.kind, &self.wire) {
            self.engine = engine;
        }
        self
    }
}

/// Enables a quantizer where none is enabled and none is refused; whether it did.
fn enable(wire: &mut Value, code: &str, bits: Option<i64>) -> bool {
    let refused = wire["skipDefaultQuantization"] == Value::Bool(true);
    if refused || ["pq", "bq", "sq", "rq"].iter().any(|code| is_enabled(wire, code)) {
        return false;
    }
    wire[code]["enabled"] = json!(true);
    if let Some(bits) = bits {
        wire[code]["bits"] = json!(bits);
        // Left out, it follows the bits.
        if bits == 1 && wire[code]["rescoreLimit"] == json!(20) {
            wire[code]["rescoreLimit"] = json!(512);
        }
    }
    wire["trackDefaultQuantization"] = json!(true);
    true
}

/// The kind of that name on the wire; the server's default for an empty name.
pub(crate) fn kind(settings: &Settings, name: &str) -> Option<VectorIndexKind> {
    let default = settings.default_vector_index.as_str();
    Some(match if name.is_empty() { default } else { name } {
        "hnsw" | "" => VectorIndexKind::Hnsw,
        "flat" => VectorIndexKind::Flat,
        "dynamic" => VectorIndexKind::Dynamic,
        "hfresh" => VectorIndexKind::Hfresh,
        _ => return None,
    })
}

/// Name of a kind on the wire.
pub(crate) fn kind_name(kind: VectorIndexKind) -> &'static str {
    match kind {
        VectorIndexKind::Hnsw => "hnsw",
        VectorIndexKind::Flat => "flat",
        VectorIndexKind::Dynamic => "dynamic",
        VectorIndexKind::Hfresh => "hfresh",
        VectorIndexKind::None => "none",
    }
}

/// Reads settings; `None` takes every default.
///
/// # Errors
/// What is wrong, without the prefixes that callers add.
pub(crate) fn parse(settings: &Settings, kind: VectorIndexKind, given: Option<&Value>) -> Result<VectorIndex, String> {
    let empty = Map::new();
    let given = match given {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(map)) => map,
        Some(_) => return Err("input must be a non-nil map".to_owned()),
    };
    let distance_default = match settings.default_distance.as_str() {
        "" => "cosine",
        name => name,
    };
    let wire = match kind {
        VectorIndexKind::Hnsw => hnsw(given, distance_default)?,
        VectorIndexKind::Flat => flat(given, distance_default)?,
        VectorIndexKind::Dynamic => dynamic(given, distance_default)?,
        VectorIndexKind::Hfresh => hfresh(given, distance_default)?,
        VectorIndexKind::None => json!({}),
    };
    let engine = engine_config(kind, &wire)?;
    let multi = wire.pointer("/multivector/enabled").and_then(Value::as_bool).unwrap_or_default();
    Ok(VectorIndex { kind, wire, engine, multi })
}

/// Reads single settings out of a map.
struct Given<'a>(&'a Map<String, Value>);

impl<'a> Given<'a> {
    fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        let number = match self.0.get(name) {
            None => return Ok(default),
            Some(Value::Number(number)) => number,
            // Given, but no number: the real server takes nothing from it, not even the default.
            Some(_) => return Ok(0),
        };
        let text = number.as_str();
        text.parse().map_err(|_| {
            format!("json.Number to int64 for \"{name}\": strconv.ParseInt: parsing \"{text}\": invalid syntax")
        })
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.0.get(name).and_then(Value::as_str).unwrap_or(default).to_owned()
    }

    /// A block of settings; what is no map counts as left out.
    fn block(&self, name: &str) -> Given<'a> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        Given(self.0.get(name).and_then(Value::as_object).unwrap_or(&EMPTY))
    }
}

fn hnsw(given: &Map<String, Value>, distance_default: &str) -> Result<Value, String> {
    let given = Given(given);
    let max_connections = given.int("maxConnections", 32)?;
    let ef_construction = given.int("efConstruction", 128)?;
    let strategy = given.text("filterStrategy", "acorn");
    let wire = json!({
        "skip": given.flag("skip", false),
        "cleanupIntervalSeconds": given.int("cleanupIntervalSeconds", 300)?,
        "maxConnections": max_connections,
        "efConstruction": ef_construction,
        "ef": given.int("ef", -1)?,
        "dynamicEfMin": given.int("dynamicEfMin", 100)?,
        "dynamicEfMax": given.int("dynamicEfMax", 500)?,
        "dynamicEfFactor": given.int("dynamicEfFactor", 8)?,
        "vectorCacheMaxObjects": given.int("vectorCacheMaxObjects", CACHE_OBJECTS)?,
        "flatSearchCutoff": given.int("flatSearchCutoff", 40_000)?,
        "distance": distance(&given, distance_default),
        "pq": product_codes(&given.block("pq"))?,
        "bq": {"enabled": given.block("bq").flag("enabled", false)},
        "sq": scalar_codes(&given.block("sq"))?,
        "rq": rotational_codes(&given.block("rq"))?,
        "filterStrategy": strategy,
        "multivector": multivector(&given.block("multivector"))?,
        "skipDefaultQuantization": given.flag("skipDefaultQuantization", false),
        "trackDefaultQuantization": given.flag("trackDefaultQuantization", false),
    });
    let mut wrong = Vec::new();
    if max_connections < 4 {
        wrong.push("maxConnections must be a positive integer with a minimum of 4");
    }
    if max_connections > 2047 {
        wrong.push("maxConnections must be less than 2048");
    }
    if ef_construction < 4 {
        wrong.push("efConstruction must be a positive integer with a minimum of 4");
    }
    if strategy != "acorn" && strategy != "sweeping" {
        wrong.push("filterStrategy must be either 'sweeping' or 'acorn'");
    }
    let enabled = ["pq", "bq", "sq", "rq"].iter().filter(|code| is_enabled(&wire, code)).count();
    if enabled > 1 {
        wrong.push("more than a single compression methods enabled");
    }
    if wire.pointer("/multivector/muvera/ksim").and_then(Value::as_i64).is_some_and(|ksim| ksim > 10) {
        wrong.push("ksim must be less than 10");
    }
    if wrong.is_empty() { Ok(wire) } else { Err(format!("invalid hnsw config: {}", wrong.join(", "))) }
}

/// An empty distance is shown as it was given and means cosine.
fn distance(given: &Given<'_>, default: &str) -> String {
    given.text("distance", default)
}

fn is_enabled(wire: &Value, code: &str) -> bool {
    wire[code]["enabled"] == Value::Bool(true)
}

fn product_codes(given: &Given<'_>) -> Result<Value, String> {
    let encoder = given.block("encoder");
    let (kind, distribution) = (encoder.text("type", "kmeans"), encoder.text("distribution", "log-normal"));
    if !matches!(kind.as_str(), "kmeans" | "tile") {
        return Err(format!("invalid encoder type {kind}"));
    }
    if !matches!(distribution.as_str(), "normal" | "log-normal") {
        return Err(format!("invalid encoder distribution {distribution}"));
    }
    let segments = given.int("segments", 0)?;
    if segments < 0 {
        return Err("pq segments must be non-negative".to_owned());
    }
    Ok(json!({
        "enabled": given.flag("enabled", false),
        "bitCompression": given.flag("bitCompression", false),
        "segments": segments,
        "centroids": given.int("centroids", 256)?,
        "trainingLimit": given.int("trainingLimit", 100_000)?,
        "encoder": {"type": kind, "distribution": distribution},
    }))
}

fn scalar_codes(given: &Given<'_>) -> Result<Value, String> {
    Ok(json!({
        "enabled": given.flag("enabled", false),
        "trainingLimit": given.int("trainingLimit", 100_000)?,
        "rescoreLimit": given.int("rescoreLimit", 20)?,
    }))
}

fn rotational_codes(given: &Given<'_>) -> Result<Value, String> {
    let (enabled, bits) = (given.flag("enabled", false), given.int("bits", 8)?);
    if enabled && !matches!(bits, 1 | 4 | 8) {
        return Err("RQ bits must be 8, 4 or 1".to_owned());
    }
    let rescore_default = if bits == 1 { 512 } else { 20 };
    Ok(json!({"enabled": enabled, "bits": bits, "rescoreLimit": given.int("rescoreLimit", rescore_default)?}))
}

fn multivector(given: &Given<'_>) -> Result<Value, String> {
    let muvera = given.block("muvera");
    Ok(json!({
        "enabled": given.flag("enabled", false),
        "aggregation": "maxSim",
        "muvera": {
            "enabled": muvera.flag("enabled", false),
            "ksim": muvera.int("ksim", 4)?,
            "dprojections": muvera.int("dprojections", 16)?,
            "repetitions": muvera.int("repetitions", 10)?,
        },
    }))
}

fn flat(given: &Map<String, Value>, distance_default: &str) -> Result<Value, String> {
    let given = Given(given);
    let mut wire = Map::new();
    wire.insert("distance".to_owned(), json!(distance(&given, distance_default)));
    wire.insert("vectorCacheMaxObjects".to_owned(), json!(given.int("vectorCacheMaxObjects", CACHE_OBJECTS)?));
    for name in ["skipDefaultQuantization", "trackDefaultQuantization"] {
        wire.insert(name.to_owned(), json!(given.flag(name, false)));
    }
    let mut enabled = 0;
    let mut cached_alone = false;
    for code in ["pq", "bq", "sq", "rq"] {
        let block = given.block(code);
        let (on, cache) = (block.flag("enabled", false), block.flag("cache", false));
        let mut shown = json!({"enabled": on, "rescoreLimit": block.int("rescoreLimit", -1)?, "cache": cache});
        if code == "rq" {
            let bits = block.int("bits", 8)?;
            if on && !matches!(bits, 1 | 8) {
                return Err("RQ bits must be either 1 or 8".to_owned());
            }
            shown["bits"] = json!(bits);
        }
        enabled += usize::from(on);
        cached_alone |= cache && !on;
        wire.insert(code.to_owned(), shown);
    }
    let wire = Value::Object(wire);
    for (code, name) in [("pq", "PQ"), ("sq", "SQ")] {
        if is_enabled(&wire, code) {
            return Err(format!("{name} is not currently supported for flat indices"));
        }
    }
    if cached_alone {
        return Err("not possible to use the cache without compression".to_owned());
    }
    if enabled > 1 {
        return Err("cannot enable multiple quantization methods at the same time".to_owned());
    }
    Ok(wire)
}

fn dynamic(given: &Map<String, Value>, distance_default: &str) -> Result<Value, String> {
    let part = |name: &str| match given.get(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) => Err("input must be a non-nil map".to_owned()),
    };
    let graph = hnsw(&part("hnsw")?, distance_default)?;
    if graph["multivector"]["enabled"] == Value::Bool(true) {
        return Err("multi vector index is not supported for dynamic index".to_owned());
    }
    let scan = flat(&part("flat")?, distance_default)?;
    let given = Given(given);
    Ok(json!({
        "distance": distance(&given, distance_default),
        "threshold": given.int("threshold", 10_000)?,
        "hnsw": graph,
        "flat": scan,
    }))
}

fn hfresh(given: &Map<String, Value>, distance_default: &str) -> Result<Value, String> {
    let given = Given(given);
    for code in ["bq", "pq", "sq"] {
        if given.block(code).flag("enabled", false) {
            return Err(format!("{code} is not supported for hfresh index (only rq-1 is supported)"));
        }
    }
    let rq = given.block("rq");
    let (enabled, bits) = (rq.flag("enabled", true), rq.int("bits", 1)?);
    if !enabled {
        return Err("hfresh only supports rq".to_owned());
    }
    if bits != 1 {
        return Err(format!("rq only supports 1 bit, got {bits}"));
    }
    let (distance, posting_kb) = (distance(&given, distance_default), given.int("maxPostingSizeKB", 48)?);
    let mut wrong = Vec::new();
    if !matches!(distance.as_str(), "cosine" | "l2-squared") {
        wrong.push(format!(
            "unsupported distance type '{distance}', HFresh only supports 'cosine' or 'l2-squared' for the distance metric"
        ));
    }
    if posting_kb < 8 {
        wrong.push(format!("maxPostingSizeKB is '{posting_kb}' but must be at least 8"));
    }
    if !wrong.is_empty() {
        return Err(format!("invalid hfresh config: {}", wrong.join("\n")));
    }
    Ok(json!({
        "maxPostingSizeKB": posting_kb,
        "replicas": given.int("replicas", 4)?,
        "searchProbe": given.int("searchProbe", 256)?,
        "distance": distance,
        "rq": {"enabled": enabled, "bits": bits, "rescoreLimit": rq.int("rescoreLimit", 350)?},
    }))
}

/// What the engine is told. An unknown distance is refused here, with the words of the real server's index.
fn engine_config(kind: VectorIndexKind, wire: &Value) -> Result<IndexConfig, String> {
    let name = wire["distance"].as_str().unwrap_or("cosine");
    let distance = match name {
        "cosine" | "" => Distance::Cosine,
        "dot" => Distance::Dot,
        "l2-squared" => Distance::L2Squared,
        "manhattan" => Distance::Manhattan,
        "hamming" => Distance::Hamming,
        _ => {
            return Err(format!(
                "unrecognized distance metric \"{name}\",choose one of [\"cosine\", \"dot\", \"l2-squared\", \
                 \"manhattan\",\"hamming\"]"
            ));
        }
    };
    let (index, codes) = match kind {
        VectorIndexKind::Hnsw => (IndexKind::Hnsw(graph_config(wire)), graph_codes(wire)),
        VectorIndexKind::Flat => (IndexKind::Flat, flat_codes(wire)),
        VectorIndexKind::Dynamic => {
            let (threshold, hnsw) = (size(wire, "threshold"), graph_config(&wire["hnsw"]));
            let kind = IndexKind::Dynamic { threshold, hnsw, flat_codes: flat_codes(&wire["flat"]) };
            (kind, graph_codes(&wire["hnsw"]))
        }
        VectorIndexKind::Hfresh | VectorIndexKind::None => (IndexKind::Hnsw(HnswConfig::default()), Codes::Default),
    };
    Ok(IndexConfig { distance, kind: index, codes, skip: wire["skip"] == Value::Bool(true) })
}

/// What a graph compares: the quantizer that is enabled, else our own codes.
fn graph_codes(wire: &Value) -> Codes {
    let (pq, sq) = (&wire["pq"], &wire["sq"]);
    if is_enabled(wire, "pq") {
        let (segments, centroids) = (size(pq, "segments"), size(pq, "centroids"));
        Codes::Product { segments, centroids, training_limit: size(pq, "trainingLimit") }
    } else if is_enabled(wire, "bq") {
        Codes::Binary { rescore: None }
    } else if is_enabled(wire, "sq") {
        Codes::Scalar { training_limit: size(sq, "trainingLimit"), rescore: rescore(sq) }
    } else {
        rotational_or_own(wire)
    }
}

/// What a scan compares.
fn flat_codes(wire: &Value) -> Codes {
    if is_enabled(wire, "bq") { Codes::Binary { rescore: rescore(&wire["bq"]) } } else { rotational_or_own(wire) }
}

fn rotational_or_own(wire: &Value) -> Codes {
    let rq = &wire["rq"];
    if is_enabled(wire, "rq") {
        let bits = u8::try_from(size(rq, "bits")).unwrap_or(8);
        Codes::Rotational { bits, rescore: rescore(rq) }
    } else if wire["skipDefaultQuantization"] == Value::Bool(true) {
        Codes::None
    } else {
        Codes::Default
    }
}

/// Candidates to fetch before rescoring; a negative number leaves it to the index.
fn rescore(quantizer: &Value) -> Option<usize> {
    quantizer["rescoreLimit"].as_i64().and_then(|limit| usize::try_from(limit).ok())
}

fn graph_config(wire: &Value) -> HnswConfig {
    HnswConfig {
        m: size(wire, "maxConnections"),
        ef_construction: size(wire, "efConstruction"),
        ef: wire["ef"].as_i64().unwrap_or(-1),
        dynamic_ef_min: size(wire, "dynamicEfMin"),
        dynamic_ef_max: size(wire, "dynamicEfMax"),
        dynamic_ef_factor: size(wire, "dynamicEfFactor"),
        flat_search_cutoff: size(wire, "flatSearchCutoff"),
        filter_strategy: match wire["filterStrategy"].as_str() {
            Some("sweeping") => FilterStrategy::Sweeping,
            _ => FilterStrategy::Acorn,
        },
    }
}

/// A setting that counts something; negative ones are 0.
fn size(wire: &Value, name: &str) -> usize {
    wire[name].as_i64().and_then(|size| usize::try_from(size).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(kind: VectorIndexKind, given: &Value) -> IndexConfig {
        let given = given.as_object().cloned().unwrap_or_default();
        let wire = match kind {
            VectorIndexKind::Flat => flat(&given, "cosine"),
            VectorIndexKind::Dynamic => dynamic(&given, "cosine"),
            VectorIndexKind::Hnsw | VectorIndexKind::Hfresh | VectorIndexKind::None => hnsw(&given, "cosine"),
        };
        engine_config(kind, &wire.expect("these settings are allowed")).expect("the distance is known")
    }

    #[test]
    fn quantizers_of_a_graph() {
        let check = |given: Value, expected: Codes| {
            assert_eq!(codes(VectorIndexKind::Hnsw, &given).codes, expected, "{given}");
        };
        let rotational = |bits, rescore| Codes::Rotational { bits, rescore: Some(rescore) };
        check(json!({}), Codes::Default);
        check(json!({"skipDefaultQuantization": true}), Codes::None);
        check(json!({"rq": {"enabled": true}}), rotational(8, 20));
        check(json!({"rq": {"enabled": true, "bits": 4, "rescoreLimit": 0}}), rotational(4, 0));
        check(json!({"rq": {"enabled": true, "bits": 1}}), rotational(1, 512));
        check(json!({"rq": {"enabled": false, "bits": 1}}), Codes::Default);
        check(json!({"bq": {"enabled": true}}), Codes::Binary { rescore: None });
        check(
            json!({"sq": {"enabled": true, "trainingLimit": 70}, "skipDefaultQuantization": true}),
            Codes::Scalar { training_limit: 70, rescore: Some(20) },
        );
        check(
            json!({"pq": {"enabled": true, "segments": 6}}),
            Codes::Product { segments: 6, centroids: 256, training_limit: 100_000 },
        );
    }

    #[test]
    fn quantizers_of_a_scan_and_of_both() {
        let flat = |given: Value| codes(VectorIndexKind::Flat, &given).codes;
        assert_eq!(flat(json!({"bq": {"enabled": true}})), Codes::Binary { rescore: None });
        assert_eq!(flat(json!({"bq": {"enabled": true, "rescoreLimit": 90}})), Codes::Binary { rescore: Some(90) });
        assert_eq!(flat(json!({"rq": {"enabled": true}})), Codes::Rotational { bits: 8, rescore: None });
        assert_eq!(flat(json!({})), Codes::Default);
        let given = json!({"threshold": 7, "hnsw": {"pq": {"enabled": true}}, "flat": {"bq": {"enabled": true}}});
        let both = codes(VectorIndexKind::Dynamic, &given);
        assert_eq!(both.codes_with(false), Codes::Binary { rescore: None });
        assert!(matches!(both.codes_with(true), Codes::Product { segments: 0, centroids: 256, .. }));
        assert!(matches!(both.kind, IndexKind::Dynamic { threshold: 7, .. }));
    }

    #[test]
    fn a_new_collection_gets_the_default_quantizer_unless_it_chooses() {
        let quantized = |default: &str, kind, given: Value| {
            let settings = Settings { default_quantization: default.to_owned(), ..Settings::of_tests() };
            parse(&settings, kind, Some(&given)).expect("these settings are allowed").quantized(&settings)
        };
        let graph = |default: &str, given: Value| quantized(default, VectorIndexKind::Hnsw, given).engine.codes;
        assert_eq!(graph("none", json!({})), Codes::Default);
        assert_eq!(graph("rq-8", json!({})), Codes::Rotational { bits: 8, rescore: Some(20) });
        assert_eq!(graph("rq-1", json!({})), Codes::Rotational { bits: 1, rescore: Some(512) });
        assert_eq!(graph("bq", json!({})), Codes::Binary { rescore: None });
        assert_eq!(graph("sq", json!({})), Codes::Scalar { training_limit: 100_000, rescore: Some(20) });
        assert!(matches!(graph("pq", json!({})), Codes::Product { segments: 0, .. }));
        assert_eq!(graph("rq-8", json!({"bq": {"enabled": true}})), Codes::Binary { rescore: None });
        assert_eq!(graph("rq-8", json!({"skipDefaultQuantization": true})), Codes::None);
        let shown = quantized("rq-1", VectorIndexKind::Hnsw, json!({})).wire;
        assert_eq!(shown["rq"], json!({"enabled": true, "bits": 1, "rescoreLimit": 512}));
        assert_eq!(shown["trackDefaultQuantization"], json!(true));

        // A kind that cannot have it stays as it is.
        let flat = |default: &str| quantized(default, VectorIndexKind::Flat, json!({}));
        assert_eq!(flat("bq").engine.codes, Codes::Binary { rescore: None });
        assert_eq!(flat("sq").engine.codes, Codes::Default);
        assert_eq!(flat("pq").wire["trackDefaultQuantization"], json!(false));
        let both = quantized("sq", VectorIndexKind::Dynamic, json!({})).engine;
        assert_eq!((both.codes_with(false), both.codes_with(true)), (Codes::Default, graph("sq", json!({}))));
    }
}
