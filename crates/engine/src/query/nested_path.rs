//! Paths into objects: `parts[0].label` is the member `label` of the first element of `parts`.

/// A path into an object or a list of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedPath<'a> {
    /// The property and the members that lead to the compared value; not empty.
    pub steps: Vec<NestedStep<'a>>,
}

/// A step of a [`NestedPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NestedStep<'a> {
    /// Name of the property or member.
    pub name: &'a str,
    /// The one element of the list that counts, from 0; any element if `None`.
    pub element: Option<u32>,
}

impl<'a> NestedPath<'a> {
    /// Reads a path. A suffix in brackets that is no number belongs to the name.
    pub fn parse(text: &'a str) -> Self {
        Self { steps: text.split('.').map(NestedStep::parse).collect() }
    }

    /// Name of the property that a path leads into.
    pub fn root_name(text: &'a str) -> &'a str {
        NestedStep::parse(text.split('.').next().unwrap_or(text)).name
    }
}

impl<'a> NestedStep<'a> {
    fn parse(text: &'a str) -> Self {
        let indexed = text.strip_suffix(']').and_then(|rest| rest.split_once('['));
        match indexed.and_then(|(name, element)| Some((name, element.parse().ok()?))) {
            Some((name, element)) => Self { name, element: Some(element) },
            None => Self { name: text, element: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_carry_their_element() {
        let check = |text, want: &[(&str, Option<u32>)]| {
            let steps = NestedPath::parse(text).steps;
            assert_eq!(steps.iter().map(|step| (step.name, step.element)).collect::<Vec<_>>(), want, "{text:?}");
        };
        check("spec", &[("spec", None)]);
        check("parts[0].label", &[("parts", Some(0)), ("label", None)]);
        check("a[1].b[20].c", &[("a", Some(1)), ("b", Some(20)), ("c", None)]);
        check("a[x].b[-1]", &[("a[x]", None), ("b[-1]", None)]);
        check("a[1]b.", &[("a[1]b", None), ("", None)]);
    }
}
