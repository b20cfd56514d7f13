//! Boosts against the formula written down plainly, over random objects and conditions.

use azimuth_engine::object::{Date, Properties, Vectors};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::*;

fn object(n: u128, properties: Properties) -> Object {
    Object { id: Uuid::from_u128(n), created_ms: 5, updated_ms: 7, properties, vectors: Vectors::default() }
}

fn any_object(rng: &mut ChaCha8Rng, n: u128) -> Object {
    let mut properties = Properties::new();
    let mut put = |name: &str, value: Value, present: bool| {
        if present {
            properties.insert(name.to_owned(), value);
        }
    };
    let (int, number) = (rng.random_range(-5..20), f64::from(rng.random_range(-50..50)) / 8.0);
    put("int", Value::Int(int), rng.random_range(0..4) > 0);
    put("number", Value::Number(number), rng.random_range(0..4) > 0);
    let date = Date { unix_s: rng.random_range(0..1_000), nanos: 500_000_000, offset_s: 3_600 };
    put("date", Value::Date(date), rng.random_range(0..4) > 0);
    let text = ["red", "green", "Red"][rng.random_range(0..3)];
    put("text", Value::Text(text.to_owned()), rng.random_range(0..4) > 0);
    object(n, properties)
}

fn compare_with(property: &str, operator: Operator, value: FilterValue) -> Filter {
    let path = Path { through: Vec::new(), subject: Subject::Property(property.to_owned()) };
    Filter::Compare { path, operator, value }
}

/// A condition, and its score of each object by the definition.
fn any_measure(rng: &mut ChaCha8Rng, objects: &[Object]) -> (Measure, Vec<f64>) {
    let value = |object: &Object, name: &str| number(object, name);
    let flag = |flags: Vec<bool>| flags.into_iter().map(|flag| f64::from(u8::from(flag))).collect();
    match rng.random_range(0..5) {
        0 => {
            let filter = compare_with("text", Operator::Equal, FilterValue::Text("red".to_owned()));
            let red = |object: &Object| object.properties.get("text") == Some(&Value::Text("red".to_owned()));
            (Measure::Matches(filter), flag(objects.iter().map(red).collect()))
        }
        1 => {
            let above = rng.random_range(-5..20);
            let greater = compare_with("int", Operator::GreaterThan, FilterValue::Int(above));
            let few = |object: &Object| value(object, "int").is_none_or(|int| int <= above as f64);
            (Measure::Matches(Filter::Not(Box::new(greater))), flag(objects.iter().map(few).collect()))
        }
        2 => {
            let modifier = [Modifier::None, Modifier::Log1p, Modifier::Sqrt][rng.random_range(0..3)];
            let modify = |value: f64| match modifier {
                Modifier::None => value,
                Modifier::Log1p => (1.0 + value.max(0.0)).ln(),
                Modifier::Sqrt => value.max(0.0).sqrt(),
            };
            let of: Vec<Option<f64>> = objects.iter().map(|object| value(object, "number").map(modify)).collect();
            let mut sorted: Vec<f64> = of.iter().flatten().copied().collect();
            sorted.sort_by(f64::total_cmp);
            let (least, most) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
            let unit = |value: f64| if most > least { (value - least) / (most - least) } else { 1.0 };
            let scores = of.iter().map(|value| value.map_or(0.0, unit)).collect();
            (Measure::Value { property: "number".to_owned(), modifier }, scores)
        }
        3 => {
            let property = ["int", "number", "date"][rng.random_range(0..3)];
            let curve = [Curve::Exponential, Curve::Gauss, Curve::Linear][rng.random_range(0..3)];
            let (origin, scale) = (f64::from(rng.random_range(0..50)), f64::from(rng.random_range(1..90)));
            let (offset, at_scale) = (f64::from(rng.random_range(0..3)), 0.3);
            let score = |value: f64| {
                let x = ((value - origin).abs() - offset).max(0.0) / scale;
                match curve {
                    Curve::Exponential => (f64::ln(at_scale) * x).exp(),
                    Curve::Gauss => (f64::ln(at_scale) * x * x).exp(),
                    Curve::Linear => (1.0 - 0.7 * x).max(0.0),
                }
            };
            let scores = objects.iter().map(|object| value(object, property).map_or(0.0, score)).collect();
            let property = property.to_owned();
            (Measure::Decay(Decay { property, origin, scale, offset, value: at_scale, curve }), scores)
        }
        _ => (Measure::Nothing, vec![0.0; objects.len()]),
    }
}

fn unit(scores: Vec<f64>) -> Vec<f64> {
    let (least, most) =
        (scores.iter().copied().fold(f64::MAX, f64::min), scores.iter().copied().fold(f64::MIN, f64::max));
    scores.into_iter().map(|score| if most > least { (score - least) / (most - least) } else { 1.0 }).collect()
}

#[test]
fn scores_are_those_of_the_formula() {
    for seed in 0..200 {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let objects: Vec<Object> = (0..rng.random_range(0..12)).map(|n| any_object(&mut rng, n)).collect();
        let ranks: Vec<f32> = objects.iter().map(|_| f32::from(rng.random_range(-9_i8..9)) / 4.0).collect();
        let weight: f32 = [0.1, 0.5, 1.0][rng.random_range(0..3)];
        let (mut conditions, mut sums, mut total) = (Vec::new(), vec![0.0_f64; objects.len()], 0.0_f64);
        for _ in 0..rng.random_range(1..4) {
            let (measure, scores) = any_measure(&mut rng, &objects);
            let of_condition: f32 = [1.0, 0.5, -1.0, 3.0][rng.random_range(0..4)];
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += f64::from(of_condition) * score);
            total += f64::from(of_condition.abs());
            conditions.push(Condition { weight: of_condition, measure });
        }
        let boost = Boost { conditions, weight, depth: 100 };
        let ranked: Vec<(f32, &Object)> = ranks.iter().copied().zip(&objects).collect();
        let order = boost.order(&ranked);
        let plain = unit(ranks.iter().map(|rank| f64::from(*rank)).collect());
        let combined = plain
            .iter()
            .zip(sums)
            .map(|(rank, sum)| (1.0 - f64::from(weight)) * rank + f64::from(weight) * sum / total);
        let expected = unit(combined.collect());
        assert_eq!(order.len(), objects.len(), "seed {seed}");
        for &(position, score) in &order {
            assert!((f64::from(score) - expected[position]).abs() < 1e-5, "seed {seed}: {order:?} {expected:?}");
        }
        assert!(
            order.is_sorted_by(|(a, of_a), (b, of_b)| of_a > of_b || of_a == of_b && a < b),
            "seed {seed}: {order:?}"
        );
    }
}

#[test]
fn huge_numbers_have_scores() {
    let (huge, heaviest) = (f64::MAX, f32::MAX);
    let objects: Vec<Object> = [(1, -huge), (2, 0.0), (3, huge)]
        .map(|(n, value)| object(n, Properties::from([("number".to_owned(), Value::Number(value))])))
        .into();
    let value = || Measure::Value { property: "number".to_owned(), modifier: Modifier::None };
    let condition = |weight| Condition { weight, measure: value() };
    let check = |ranks: [f32; 3], boost: &Boost, expected: [(usize, f32); 3]| {
        let ranked: Vec<(f32, &Object)> = ranks.into_iter().zip(&objects).collect();
        assert_eq!(boost.order(&ranked), expected, "{ranks:?} {boost:?}");
    };
    let order = [(2, 1.0), (1, 0.5), (0, 0.0)];
    check([0.0; 3], &Boost { conditions: vec![condition(1.0)], weight: 0.5, depth: 9 }, order);
    let heavy = Boost { conditions: vec![condition(heaviest), condition(heaviest)], weight: 1.0, depth: 9 };
    check([0.0; 3], &heavy, order);
    let nothing = vec![Condition { weight: 1.0, measure: Measure::Nothing }];
    check([-f32::MAX, 0.0, f32::MAX], &Boost { conditions: nothing, weight: 0.5, depth: 9 }, order);
}

#[test]
fn conditions_match_whole_values() {
    let mut properties = Properties::new();
    properties.insert("text".to_owned(), Value::Text("Red kite".to_owned()));
    properties.insert("flag".to_owned(), Value::Bool(true));
    properties.insert("list".to_owned(), Value::List(vec![Value::Int(1), Value::Int(2)]));
    properties.insert("in".to_owned(), Value::Object([("n".to_owned(), Value::Int(3))].into()));
    let object = object(1, properties);
    let check = |subject: Subject, operator, value, expected: bool| {
        let path = Path { through: Vec::new(), subject };
        let filter = Filter::Compare { path, operator, value };
        assert_eq!(matches(&filter, &object), expected, "{filter:?}");
    };
    let of = |name: &str| Subject::Property(name.to_owned());
    let text = |text: &str| FilterValue::Text(text.to_owned());
    check(of("text"), Operator::Equal, text("Red kite"), true);
    check(of("text"), Operator::Equal, text("Red"), false);
    check(of("text"), Operator::Equal, text("red kite"), false);
    check(of("text"), Operator::LessThan, text("Z"), true);
    check(of("none"), Operator::NotEqual, text("x"), false);
    check(of("flag"), Operator::NotEqual, FilterValue::Bool(false), true);
    check(of("list"), Operator::Equal, FilterValue::Int(1), false);
    check(of("in.n"), Operator::GreaterThanEqual, FilterValue::Number(3.0), true);
    check(Subject::Length("list".to_owned()), Operator::Equal, FilterValue::Int(2), true);
    check(Subject::CreatedMs, Operator::LessThan, FilterValue::Int(6), true);
    check(Subject::Id, Operator::Equal, FilterValue::Uuid(Uuid::from_u128(1)), true);
}
