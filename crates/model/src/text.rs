//! Texts with a grammar, as settings: one definition of what fits, for the file, the schema and the messages.

use oauth::client_id::ClientId;
use oauth::scope::Scope;

/// A text with a grammar that may stand in a setting.
pub trait Text: std::str::FromStr {
    /// What the schema calls texts of this kind.
    const FORMAT: &'static str;
    /// What was expected, after "is not".
    const EXPECTED: &'static str;
}

/// Makes a type with [`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display) a setting.
macro_rules! setting {
    ($name:ident, $format:literal, $expected:literal, $example:literal) => {
        impl $crate::text::Text for $name {
            const FORMAT: &'static str = $format;
            const EXPECTED: &'static str = $expected;
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse()
                    .map_err(|_| serde::de::Error::custom(format!("`{text}` is not {}", $expected)))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        $crate::text::described!($name, $format, $example);
    };
}

/// Gives a type the schema of texts of its kind.
macro_rules! described {
    ($name:ident, $format:literal, $example:literal) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

/// Describes a type of another crate as a setting, for `#[schemars(with = …)]`; it is read and written by [`plain`] or [`list`].
macro_rules! foreign {
    ($(#[$meta:meta])* $name:ident: $type:ty, $format:literal, $expected:literal, $example:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl std::str::FromStr for $name {
            type Err = <$type as std::str::FromStr>::Err;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<$type>().map(|_| Self)
            }
        }

        impl $crate::text::Text for $name {
            const FORMAT: &'static str = $format;
            const EXPECTED: &'static str = $expected;
        }

        $crate::text::described!($name, $format, $example);
    };
}

pub(crate) use {described, foreign, setting};

foreign!(
    /// A [`Scope`].
    ScopeText: Scope,
    "scope",
    "a scope: 1 to 256 visible ASCII characters without quotes and backslashes (RFC 6749 §3.3)",
    "mcp:tools"
);
foreign!(
    /// A [`ClientId`].
    ClientIdText: ClientId,
    "client-id",
    "a client id: 1 to 2048 printable ASCII characters",
    "my-agent"
);

/// Values by their texts, for `#[serde(with = …)]`.
pub mod plain {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes one.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of the format, and texts that are none.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Values that may be missing by their texts, for `#[serde(with = …)]`.
pub mod maybe {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    /// Writes one, or that there is none.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(to)
    }

    /// Reads one, or that there is none.
    ///
    /// # Errors
    /// Those of the format, and texts that are none.
    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        let value = text.map(|text| text.parse()).transpose();
        value.map_err(D::Error::custom)
    }
}

/// Lists of values by their texts, for `#[serde(with = …)]`.
pub mod list {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes them.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<'a, C, T, S>(values: &'a C, to: S) -> Result<S::Ok, S::Error>
    where
        &'a C: IntoIterator<Item = &'a T>,
        T: Display + 'a,
        S: Serializer,
    {
        to.collect_seq(values.into_iter().map(ToString::to_string))
    }

    /// Reads them.
    ///
    /// # Errors
    /// Those of the format, and texts that are none.
    pub fn deserialize<'de, C, D>(from: D) -> Result<C, D::Error>
    where
        C: IntoIterator<Item: FromStr<Err: Display>> + FromIterator<C::Item>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(from)?;
        let values = texts.iter().map(|text| text.parse());
        values.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}
