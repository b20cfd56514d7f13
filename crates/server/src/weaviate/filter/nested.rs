//! Comparisons of values inside of objects: `spec.maker`, `parts[0].label`.

use azimuth_engine::query::{FilterValue, NestedPath, NestedStep, Operator, Subject};
use azimuth_engine::schema::{DataType, Primitive, Property};

use super::resolve::{Kinds, converted, fits, invalid, plain, wire_name, wrong_field};
use super::{FilterError, Leaf};

/// The subject and the value of a comparison whose path leads into `root`, an object property.
///
/// `preview` is the setting `WEAVIATE_PREVIEW_NESTED_FILTERING`.
pub(super) fn subject(
    root: &Property,
    path: &str,
    leaf: &Leaf,
    kinds: Kinds,
    preview: bool,
) -> Result<(Subject, FilterValue), FilterError> {
    let steps = NestedPath::parse(path).steps;
    // gRPC needs the type of the property before anything else is checked.
    if kinds == Kinds::Coerced && steps.len() > 1 && leaf.operator != Operator::IsNull {
        end_of(root, path, &steps)?;
    }
    if !preview {
        let text = "filtering on nested properties is a preview feature, disabled by default; set \
                    WEAVIATE_PREVIEW_NESTED_FILTERING=true to enable";
        return Err(invalid(text.to_owned()));
    }
    let subject = Subject::Property(path.to_owned());
    if leaf.operator == Operator::IsNull {
        if kinds == Kinds::Strict && leaf.value.field != "valueBoolean" {
            let given = leaf.value.field;
            return Err(invalid(format!("operator IsNull requires a booleanValue, got {given} instead")));
        }
        end_of(root, path, &steps)?;
        return Ok((subject, plain(&leaf.value)));
    }
    let end = end_of(root, path, &steps)?;
    if steps.len() == 1 {
        let kind = wire_name(&root.data_type);
        return Err(invalid(format!(
            "property {path:?} is of type {kind:?}; use dot notation to filter on a sub-property"
        )));
    }
    let DataType::Primitive { of, .. } = end.data_type else {
        let (name, kind) = (&end.name, wire_name(&end.data_type));
        return Err(invalid(format!(
            "nested path {path:?}: sub-property {name:?} is of type {kind:?}; filtering on object types is not supported, \
             specify a primitive sub-property"
        )));
    };
    if !end.filterable {
        return Err(invalid(format!("nested path {path:?}: sub-property {:?} is not filterable", end.name)));
    }
    Ok((subject, value(end, of, path, leaf, kinds)?))
}

/// The value in the form of the property's type.
fn value(end: &Property, of: Primitive, path: &str, leaf: &Leaf, kinds: Kinds) -> Result<FilterValue, FilterError> {
    let field = leaf.value.field;
    if of == Primitive::Uuid && matches!(leaf.operator, Operator::Like | Operator::WithinGeoRange) {
        return Err(invalid(format!("operator \"{:?}\" cannot be used on uuid/uuid[] props", leaf.operator)));
    }
    if kinds == Kinds::Strict && !fits(of, field) {
        if of == Primitive::Uuid {
            return Err(invalid(format!(
                "property {path:?} is of type \"uuid\" or \"uuid[]\": specify uuid as string using \"valueText\""
            )));
        }
        return Err(invalid(format!("nested path {path:?}: {}", wrong_field(end, field))));
    }
    match of {
        Primitive::GeoCoordinates | Primitive::PhoneNumber | Primitive::Blob | Primitive::BlobHash => {
            let kind = wire_name(&end.data_type);
            Err(invalid(format!("nested path {path:?}: unsupported leaf type {kind:?}")))
        }
        Primitive::Text
        | Primitive::Int
        | Primitive::Number
        | Primitive::Boolean
        | Primitive::Date
        | Primitive::Uuid => converted(of, &leaf.value, kinds),
    }
}

/// The property at the end of a path.
fn end_of<'p>(root: &'p Property, path: &str, steps: &[NestedStep<'_>]) -> Result<&'p Property, FilterError> {
    let needs_list = |at: usize, step: &NestedStep<'_>, property: &Property| {
        if step.element.is_none() || wire_name(&property.data_type).ends_with("[]") {
            return Ok(());
        }
        let (name, kind) = (step.name, wire_name(&property.data_type));
        let why = format!("is of type {kind:?} \u{2014} [N] indexing requires an array type");
        Err(invalid(match at {
            0 => format!("property {name:?} {why}"),
            _ => format!("nested path {path:?}: sub-property {name:?} {why}"),
        }))
    };
    let mut end = root;
    for (at, step) in steps.iter().enumerate() {
        if at > 0 {
            if !matches!(end.data_type, DataType::Object { .. }) {
                let (name, kind) = (&end.name, wire_name(&end.data_type));
                let why = format!("sub-property {name:?} must be object or object[], got {kind:?}");
                return Err(invalid(format!("nested path {path:?}: {why}")));
            }
            end = end
                .nested
                .iter()
                .find(|nested| nested.name == step.name)
                .ok_or_else(|| invalid(format!("nested path {path:?}: sub-property {:?} not found", step.name)))?;
        }
        needs_list(at, step, end)?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weaviate::filter::{Given, Scalar};

    fn property(name: &str, data_type: DataType, nested: Vec<Property>) -> Property {
        Property {
            id: azimuth_engine::ids::PropertyId(0),
            name: name.to_owned(),
            description: None,
            data_type,
            tokenization: None,
            filterable: name != "hidden",
            searchable: false,
            range_filterable: false,
            nested,
            text_analyzer: None,
            module_config: None,
        }
    }

    fn refusal(path: &str, operator: Operator, kinds: Kinds, preview: bool) -> String {
        let size = property(
            "size",
            DataType::Object { list: false },
            vec![property("width", DataType::one(Primitive::Number), Vec::new())],
        );
        let nested = vec![
            size,
            property("year", DataType::one(Primitive::Int), Vec::new()),
            property("hidden", DataType::one(Primitive::Int), Vec::new()),
            property("at", DataType::one(Primitive::GeoCoordinates), Vec::new()),
        ];
        let root = property("spec", DataType::Object { list: false }, nested);
        let value = Given { field: "valueText", scalars: vec![Scalar::Text("x".to_owned())], list: false };
        let leaf = Leaf { path: vec![path.to_owned()], operator, value, count: false };
        match subject(&root, path, &leaf, kinds, preview) {
            Err(FilterError::Invalid(text)) => text,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn what_a_path_names_is_checked() {
        let check = |path, want: &str| {
            assert_eq!(refusal(path, Operator::Equal, Kinds::Strict, true), want, "{path}");
        };
        check("spec", "property \"spec\" is of type \"object\"; use dot notation to filter on a sub-property");
        check("spec.color", "nested path \"spec.color\": sub-property \"color\" not found");
        check("spec[0].year", "property \"spec\" is of type \"object\" \u{2014} [N] indexing requires an array type");
        check(
            "spec.size[1].width",
            "nested path \"spec.size[1].width\": sub-property \"size\" is of type \"object\" \u{2014} [N] indexing requires an \
             array type",
        );
        check(
            "spec.year.x",
            "nested path \"spec.year.x\": sub-property \"year\" must be object or object[], got \"int\"",
        );
        check(
            "spec.size",
            "nested path \"spec.size\": sub-property \"size\" is of type \"object\"; filtering on object types is not \
             supported, specify a primitive sub-property",
        );
        check("spec.hidden", "nested path \"spec.hidden\": sub-property \"hidden\" is not filterable");
        check(
            "spec.year",
            "nested path \"spec.year\": data type filter cannot use \"valueText\" on type \"int\", use \"valueInt\" instead",
        );
    }

    #[test]
    fn without_the_preview_everything_is_refused() {
        let gated = |path, kinds| refusal(path, Operator::Equal, kinds, false).contains("preview feature");
        assert!(
            gated("spec.year", Kinds::Strict) && gated("spec.color", Kinds::Strict) && gated("spec", Kinds::Coerced)
        );
        assert!(!gated("spec.color", Kinds::Coerced), "gRPC looks for the type first");
    }
}
