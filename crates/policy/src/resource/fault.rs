//! What can be wrong with a policy document, and where.

use std::fmt;

/// Everything that is wrong with a document; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, e.g. `Statement[0].Condition.StringEquals`; empty for the document as a whole.
    pub path: String,
    /// What.
    pub what: What,
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The text is not JSON.
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A required field is not there.
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A name or a value that is not one of those that can be.
    Unknown {
        /// What sort of thing.
        noun: Noun,
        /// As written.
        found: String,
        /// What could stand there.
        known: &'static [&'static str],
    },
    /// The same name twice in an object, or the same `Sid` in two statements.
    Repeated {
        /// The name.
        name: String,
    },
    /// A value of the wrong type.
    WrongType {
        /// What was expected.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A list or an object without members, where that has no meaning.
    Empty,
    /// Neither an address nor a network in CIDR notation.
    NotANetwork {
        /// As written.
        found: String,
    },
    /// The operator cannot test this key.
    OperatorDoesNotFit {
        /// The key, as written.
        key: String,
        /// The operators that can.
        fitting: &'static [&'static str],
    },
    /// A policy variable (`${…}`), which would be compared literally here.
    Variable {
        /// As written.
        found: String,
    },
}

/// What sort of thing is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A field of an object.
    Field,
    /// A value from a closed set.
    Value,
    /// A condition operator.
    Operator,
    /// A condition key.
    Key,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "resource policy"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { line, column } => {
                write!(f, "not JSON, at line {line} column {column}")
            }
            Self::Missing { field } => write!(f, "`{field}` is missing"),
            Self::Unknown { noun, found, known } => {
                let noun = match noun {
                    Noun::Field => "field",
                    Noun::Value => "value",
                    Noun::Operator => "condition operator",
                    Noun::Key => "condition key",
                };
                write!(f, "unknown {noun} `{found}`, known: {}", List(known))
            }
            Self::Repeated { name } => write!(f, "`{name}` is there more than once"),
            Self::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Empty => f.write_str("expected at least one"),
            Self::NotANetwork { found } => {
                write!(
                    f,
                    "`{found}` is no address or network, expected e.g. 192.0.2.0/24"
                )
            }
            Self::OperatorDoesNotFit { key, fitting } => {
                write!(
                    f,
                    "this operator cannot test `{key}`, hint: use {}",
                    List(fitting)
                )
            }
            Self::Variable { found } => {
                write!(f, "`{found}` has a policy variable, which is not supported")
            }
        }
    }
}

struct List<'a>(&'a [&'static str]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "`{name}`")?;
        }
        Ok(())
    }
}
