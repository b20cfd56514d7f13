//! The meaning of filters: whether an object matches a comparison, by definition and without any index.

use serde_json::Value;
use std::cmp::Ordering;
use uuid::Uuid;

use super::filter::{Leaf, Refused, Subject};
use super::model::{Object, World, beacons};
use super::schema::Schema;
use super::value::{Kind, instant};

impl Leaf {
    /// Whether the object matches.
    pub(super) fn matches(&self, world: &World, schema: &Schema, id: Uuid, object: &Object) -> Result<bool, Refused> {
        // `ContainsAll` and `ContainsNone` are evaluated for each member over the whole path.
        if let (Value::Array(members), "ContainsAll" | "ContainsNone") = (&self.value, self.operator.as_str()) {
            let each = |member: &Value| {
                let leaf = Self { operator: "Equal".to_owned(), value: member.clone(), ..self.clone() };
                leaf.along(&self.through, world, schema, id, object)
            };
            let each = members.iter().map(each).collect::<Result<Vec<bool>, Refused>>()?;
            return Ok(each.into_iter().all(|matches| matches == (self.operator == "ContainsAll")));
        }
        self.along(&self.through, world, schema, id, object)
    }

    fn along(
        &self,
        through: &[(String, String)],
        world: &World,
        schema: &Schema,
        id: Uuid,
        object: &Object,
    ) -> Result<bool, Refused> {
        let Some(((name, target), rest)) = through.split_first() else { return self.compare(schema, id, object) };
        let class = world.classes.get(target).ok_or(Refused)?;
        // A refusal does not depend on the objects.
        self.along(rest, world, &class.schema, Uuid::nil(), &Object::default())?;
        for (collection, id) in beacons(object.properties.get(name)) {
            if collection == *target
                && let Some(object) = class.objects.get(&id)
                && self.along(rest, world, &class.schema, id, object)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compare(&self, schema: &Schema, id: Uuid, object: &Object) -> Result<bool, Refused> {
        let operator = self.operator.as_str();
        let name = match &self.subject {
            Subject::Id => return Ok(any_member(operator, &self.value, |value| value == id.to_string().as_str())),
            Subject::Count(name) => {
                let count = beacons(object.properties.get(name)).len();
                return Ok(ordered(operator, (count as i64).cmp(&self.value.as_i64().unwrap_or(0))));
            }
            Subject::Property(name) | Subject::Length(name) => name,
        };
        let property = schema.properties.get(name).filter(|property| property.is_indexed()).ok_or(Refused)?;
        let value = object.properties.get(name).unwrap_or(&Value::Null);
        if matches!(self.subject, Subject::Length(_)) {
            return self.length(schema, value);
        }
        if operator == "IsNull" {
            if !schema.null_state {
                return Err(Refused);
            }
            return Ok(Value::Bool(is_empty(value)) == self.value);
        }
        let equal = |wanted: &Value| holds(&property.kind, "Equal", value, wanted);
        Ok(match operator {
            "NotEqual" => {
                // The range index alone knows only objects that have a value.
                let known = property.filterable || property.searchable || !is_empty(value);
                // A text with several tokens must have none of them.
                let tokens = self.value.as_str().zip(property.kind.tokenization());
                let tokens = tokens.map(|(text, tokenization)| tokenization.tokens(text));
                known
                    && match tokens {
                        Some(tokens) => !tokens.into_iter().any(|token| equal(&token.into())),
                        None => !equal(&self.value),
                    }
            }
            "ContainsAny" => any_member(operator, &self.value, equal),
            "WithinGeoRange" => within(value, &self.value),
            operator => holds(&property.kind, operator, value, &self.value),
        })
    }

    fn length(&self, schema: &Schema, value: &Value) -> Result<bool, Refused> {
        if !schema.property_length {
            return Err(Refused);
        }
        let length = match value {
            Value::String(text) => Some(text.chars().count()),
            Value::Array(values) => Some(values.len()),
            _ => schema.null_state.then_some(0),
        };
        let operator = self.operator.as_str();
        let wanted = self.value.as_i64().unwrap_or(0);
        Ok(match length {
            Some(length) => ordered(operator, (length as i64).cmp(&wanted)),
            // A missing value has no length, so it is unequal to each length.
            None => operator == "NotEqual",
        })
    }
}

fn any_member(operator: &str, value: &Value, equal: impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(values) => values.iter().any(equal),
        value => equal(value) != (operator == "NotEqual"),
    }
}

/// Missing, or of no length.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

fn ordered(operator: &str, order: Ordering) -> bool {
    match operator {
        "Equal" => order.is_eq(),
        "NotEqual" => order.is_ne(),
        "GreaterThan" => order.is_gt(),
        "GreaterThanEqual" => order.is_ge(),
        "LessThan" => order.is_lt(),
        _ => order.is_le(),
    }
}

/// A comparison of a value, or of the members of a list, with one value; not `NotEqual`.
fn holds(kind: &Kind, operator: &str, value: &Value, wanted: &Value) -> bool {
    if let Some(tokenization) = kind.tokenization() {
        let stored: Vec<String> = match value {
            Value::String(text) => tokenization.tokens(text),
            Value::Array(values) => {
                values.iter().filter_map(Value::as_str).flat_map(|text| tokenization.tokens(text)).collect()
            }
            _ => Vec::new(),
        };
        let wanted = wanted.as_str().unwrap_or_default();
        if operator == "Like" {
            let pattern: Vec<char> = tokenization.pattern(wanted).chars().collect();
            return stored.iter().any(|token| like(&pattern, &token.chars().collect::<Vec<char>>()));
        }
        let wanted = tokenization.tokens(wanted);
        return wanted.iter().all(|wanted| stored.iter().any(|stored| ordered(operator, stored.cmp(wanted))));
    }
    let one = |value: &Value| ordering(kind.member(), value, wanted).is_some_and(|order| ordered(operator, order));
    match value {
        Value::Array(values) => values.iter().any(one),
        value => one(value),
    }
}

fn ordering(kind: &Kind, left: &Value, right: &Value) -> Option<Ordering> {
    match kind {
        Kind::Int => Some(left.as_i64()?.cmp(&right.as_i64()?)),
        Kind::Number => left.as_f64()?.partial_cmp(&right.as_f64()?),
        Kind::Bool => Some(left.as_bool()?.cmp(&right.as_bool()?)),
        Kind::Date => Some(instant(left.as_str()?).cmp(&instant(right.as_str()?))),
        _ => Some(left.as_str()?.cmp(right.as_str()?)),
    }
}

/// `?` is one character, `*` any number of them.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        Some((first, rest)) => {
            text.split_first().is_some_and(|(c, text)| (first == c || *first == '?') && like(rest, text))
        }
    }
}

fn within(value: &Value, wanted: &Value) -> bool {
    let Some(distance) = geo_distance_m(value, wanted) else { return false };
    distance <= wanted["distance"].as_f64().unwrap_or(0.0)
}

/// Haversine on a sphere of 6,371 km.
fn geo_distance_m(left: &Value, right: &Value) -> Option<f64> {
    let radians = |value: &Value, name: &str| value.get(name)?.as_f64().map(f64::to_radians);
    let (lat1, lon1) = (radians(left, "latitude")?, radians(left, "longitude")?);
    let (lat2, lon2) = (radians(right, "latitude")?, radians(right, "longitude")?);
    let a = ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
    Some(2.0 * 6_371_000.0 * a.sqrt().min(1.0).asin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored() {
        let check =
            |pattern: &str, text: &str| like(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        assert!(check("al*", "alpha") && check("*", "") && check("a?pha", "alpha") && check("*日*", "日本"));
        assert!(!check("al", "alpha") && !check("?", "") && !check("*x", "alpha"));
    }
}
