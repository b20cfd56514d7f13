//! Tokens -> a document, nesting limited.

use super::GraphqlError;
use super::lexer::{Kind, Lexer, Position, Token};
use super::syntax::{
    Argument, Directive, Document, Field, Fragment, Given, Name, Operation, OperationKind, Selection, TypeName, Value,
    Variable,
};

/// Braces, brackets and parentheses open at once, at most.
const DEPTH_MAX: usize = 128;
/// Operations and fragments, and arguments, variables or directives at one place, at most.
const LISTED_MAX: usize = 1_000;
/// Bytes of a document, at most.
const BYTES_MAX: usize = 4 << 20;

type Parsed<T> = Result<T, GraphqlError>;

/// Reads a document.
///
/// # Errors
/// The first thing that is not as it should be, and where.
pub(super) fn parse(source: &str) -> Parsed<Document> {
    if source.len() > BYTES_MAX {
        return Err(GraphqlError::nowhere(format!("the query is longer than {BYTES_MAX} bytes")));
    }
    let mut lexer = Lexer::new(source);
    let token = lexer.next()?;
    Parser { lexer, token, depth: 0 }.document()
}

fn limited(count: usize, what: &str) -> Parsed<()> {
    if count > LISTED_MAX {
        return Err(GraphqlError::nowhere(format!("more than {LISTED_MAX} {what}")));
    }
    Ok(())
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token.
    token: Token,
    depth: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Document> {
        let mut document = Document::default();
        while self.token.kind != Kind::End {
            let at = self.token.at;
            limited(document.operations.len() + document.fragments.len(), "operations and fragments")?;
            match (&self.token.kind, self.token.text.as_str()) {
                (Kind::Mark("{"), _) => {
                    let selections = self.selections()?;
                    let kind = OperationKind::Query;
                    let (variables, directives) = (Vec::new(), Vec::new());
                    document.operations.push(Operation { kind, name: None, variables, directives, selections, at });
                }
                (Kind::Name, "query") => document.operations.push(self.operation(OperationKind::Query)?),
                (Kind::Name, "mutation") => document.operations.push(self.operation(OperationKind::Mutation)?),
                (Kind::Name, "subscription") => document.operations.push(self.operation(OperationKind::Subscription)?),
                (Kind::Name, "fragment") => document.fragments.push(self.fragment()?),
                _ => return Err(self.unexpected()),
            }
        }
        Ok(document)
    }

    fn operation(&mut self, kind: OperationKind) -> Parsed<Operation> {
        let at = self.advance()?.at;
        let name = if self.token.kind == Kind::Name { Some(self.name()?) } else { None };
        let variables = if self.is("(") { self.many("(", ")", Self::variable)? } else { Vec::new() };
        limited(variables.len(), "variables")?;
        let directives = self.directives()?;
        Ok(Operation { kind, name, variables, directives, selections: self.selections()?, at })
    }

    fn fragment(&mut self) -> Parsed<Fragment> {
        let at = self.advance()?.at;
        if self.token.text == "on" {
            return Err(self.unexpected());
        }
        let name = self.name()?;
        self.keyword("on")?;
        let on = self.name()?;
        let directives = self.directives()?;
        Ok(Fragment { name, on, directives, selections: self.selections()?, at })
    }

    fn variable(&mut self) -> Parsed<Variable> {
        let at = self.expect("$")?;
        let name = self.name()?.text;
        self.expect(":")?;
        let declared = self.type_name()?;
        let default = if self.is("=") {
            self.advance()?;
            Some(self.value(true)?)
        } else {
            None
        };
        Ok(Variable { name, declared, default, at })
    }

    fn type_name(&mut self) -> Parsed<TypeName> {
        let of = if self.is("[") {
            self.nested(|parser| {
                parser.advance()?;
                let of = parser.type_name()?;
                parser.expect("]")?;
                Ok(TypeName::List(Box::new(of)))
            })?
        } else {
            TypeName::Named(self.name()?)
        };
        if self.is("!") {
            self.advance()?;
            return Ok(TypeName::NonNull(Box::new(of)));
        }
        Ok(of)
    }

    fn selections(&mut self) -> Parsed<Vec<Selection>> {
        self.many("{", "}", Self::selection)
    }

    fn selection(&mut self) -> Parsed<Selection> {
        if !self.is("...") {
            return self.field().map(Selection::Field);
        }
        let at = self.advance()?.at;
        if self.token.kind == Kind::Name && self.token.text != "on" {
            let name = self.name()?;
            return Ok(Selection::Spread { name, directives: self.directives()?, at });
        }
        let on = if self.token.kind == Kind::Name {
            self.advance()?;
            Some(self.name()?)
        } else {
            None
        };
        let directives = self.directives()?;
        Ok(Selection::Inline { on, directives, selections: self.selections()?, at })
    }

    fn field(&mut self) -> Parsed<Field> {
        let first = self.name()?;
        let (alias, name) = if self.is(":") {
            self.advance()?;
            (Some(first.text), self.name()?.text)
        } else {
            (None, first.text)
        };
        let arguments = self.arguments()?;
        let directives = self.directives()?;
        let selections_at = self.token.at;
        let selections = if self.is("{") { self.selections()? } else { Vec::new() };
        Ok(Field { alias, name, arguments, directives, selections, selections_at, at: first.at })
    }

    fn arguments(&mut self) -> Parsed<Vec<Argument>> {
        let arguments = if self.is("(") { self.many("(", ")", Self::argument)? } else { Vec::new() };
        limited(arguments.len(), "arguments")?;
        Ok(arguments)
    }

    fn argument(&mut self) -> Parsed<Argument> {
        let name = self.name()?;
        self.expect(":")?;
        Ok(Argument { name, value: self.value(false)? })
    }

    fn directives(&mut self) -> Parsed<Vec<Directive>> {
        let mut directives = Vec::new();
        while self.is("@") {
            let at = self.advance()?.at;
            let name = self.name()?.text;
            directives.push(Directive { name, arguments: self.arguments()?, at });
            limited(directives.len(), "directives")?;
        }
        Ok(directives)
    }

    /// A value; a constant one holds no variables.
    fn value(&mut self, constant: bool) -> Parsed<Value> {
        let at = self.token.at;
        let given = match (&self.token.kind, self.token.text.as_str()) {
            (Kind::Mark("["), _) => Given::List(self.any("[", "]", |parser| parser.value(constant))?),
            (Kind::Mark("{"), _) => Given::Object(self.any("{", "}", |parser| {
                let name = parser.name()?;
                parser.expect(":")?;
                Ok((name, parser.value(constant)?))
            })?),
            (Kind::Mark("$"), _) if !constant => {
                self.advance()?;
                Given::Variable(self.name()?.text)
            }
            (Kind::Int, _) => Given::Int(self.advance()?.text),
            (Kind::Float, _) => Given::Float(self.advance()?.text),
            (Kind::Text, _) => Given::Text(self.advance()?.text),
            (Kind::Name, "true") => self.advance().map(|_| Given::Bool(true))?,
            (Kind::Name, "false") => self.advance().map(|_| Given::Bool(false))?,
            (Kind::Name, text) if text != "null" => Given::Enum(self.advance()?.text),
            _ => return Err(self.unexpected()),
        };
        Ok(Value { given, at })
    }

    /// At least one of them.
    fn many<T>(
        &mut self,
        open: &'static str,
        close: &'static str,
        one: impl Fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let at = self.token.at;
        let all = self.any(open, close, one)?;
        if all.is_empty() {
            return Err(self.lexer.error(at, &format!("Unexpected empty IN {open}{close}")));
        }
        Ok(all)
    }

    fn any<T>(
        &mut self,
        open: &'static str,
        close: &'static str,
        one: impl Fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(open)?;
        self.nested(|parser| {
            let mut all = Vec::new();
            while !parser.is(close) {
                all.push(one(parser)?);
            }
            parser.advance()?;
            Ok(all)
        })
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            return Err(GraphqlError::nowhere(format!("the query is nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.token.kind, Kind::Mark(found) if found == mark)
    }

    /// Takes the next token.
    fn advance(&mut self) -> Parsed<Token> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn expect(&mut self, mark: &'static str) -> Parsed<Position> {
        if self.is(mark) { self.advance().map(|token| token.at) } else { Err(self.expected(mark)) }
    }

    fn keyword(&mut self, word: &str) -> Parsed<()> {
        if self.token.kind == Kind::Name && self.token.text == word {
            self.advance().map(|_| ())
        } else {
            Err(self.expected(&format!("\"{word}\"")))
        }
    }

    fn name(&mut self) -> Parsed<Name> {
        if self.token.kind != Kind::Name {
            return Err(self.expected(Kind::Name.described()));
        }
        self.advance().map(|token| Name { text: token.text, at: token.at })
    }

    fn expected(&self, what: &str) -> GraphqlError {
        self.lexer.error(self.token.at, &format!("Expected {what}, found {}", self.token.described()))
    }

    fn unexpected(&self) -> GraphqlError {
        self.lexer.error(self.token.at, &format!("Unexpected {}", self.token.described()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_whole() {
        let text =
            "query Q($n: [Int!]! = [1]) @d { a: b(c: {d: $n, e: F}) { ...G ... on H { i } } } fragment G on H { j }";
        let document = parse(text).expect("a document");
        let operation = &document.operations[0];
        assert_eq!(operation.variables[0].declared.to_string(), "[Int!]!");
        let Selection::Field(field) = &operation.selections[0] else { panic!("a field") };
        assert_eq!((field.key(), field.name.as_str()), ("a", "b"));
        assert_eq!(field.arguments[0].value.to_string(), "{d: $n, e: F}");
        assert_eq!(field.selections.len(), 2);
        assert_eq!(document.fragments[0].on.text, "H");
        assert_eq!(parse(" # nothing").expect("empty"), Document::default());
    }

    #[test]
    fn errors_say_what_was_expected_where() {
        let check = |text: &str, at: Position, want: &str| {
            let error = parse(text).expect_err(text);
            assert_eq!(error.locations, [at], "{text}");
            assert!(error.message.contains(&format!(") {want}\n\n")), "{}", error.message);
        };
        check("{ a { b }", (1, 10), "Expected Name, found EOF");
        check("{ a } }", (1, 7), "Unexpected }");
        check("Get", (1, 1), "Unexpected Name \"Get\"");
        check("{ a { } }", (1, 5), "Unexpected empty IN {}");
        check("{ a() }", (1, 4), "Unexpected empty IN ()");
        check("{ a(b 1) }", (1, 7), "Expected :, found Int \"1\"");
        check("{ a(b: null) }", (1, 8), "Unexpected Name \"null\"");
        check("{\"a\": 1}", (1, 2), "Expected Name, found String \"a\"");
        check("query ($a: Int = $b) { a }", (1, 18), "Unexpected $");
    }

    #[test]
    fn nesting_is_limited() {
        let brackets = "[".repeat(300);
        for deep in ["{a".repeat(300), format!("{{a(b: {brackets}"), format!("query ($a: {brackets}")] {
            assert!(parse(&deep).expect_err(&deep).message.contains("nested deeper"), "{deep}");
        }
        let many = format!("{{ a({}) }}", "b: 1 ".repeat(LISTED_MAX + 1));
        assert_eq!(parse(&many).expect_err("many arguments").message, "more than 1000 arguments");
        let many = "{ a }".repeat(LISTED_MAX + 2);
        assert_eq!(parse(&many).expect_err("many operations").message, "more than 1000 operations and fragments");
    }
}
