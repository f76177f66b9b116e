//! Texts with a grammar, as settings: one definition of what fits, for the file, the schema and the messages.

/// A text with a grammar that may stand in a setting.
pub trait Text: std::str::FromStr + std::fmt::Display {
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
                text.parse().map_err(|_| {
                    serde::de::Error::custom(format!("`{text}` is not {}", $expected))
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

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

pub(crate) use setting;
