//! Signature algorithms as settings: a list of their names.

use std::borrow::Cow;

use oauth::jose::alg::Alg;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The description of an [`Alg`]: for `#[schemars(with = "Vec<…::algs::AlgName>")]`.
#[derive(Clone, Copy, Debug)]
pub struct AlgName;

impl JsonSchema for AlgName {
    fn schema_name() -> Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Alg::ALL.iter().map(|alg| alg.as_str()).collect();
        json_schema!({
            "type": "string", "enum": names,
            "description": "An algorithm of signatures with public keys (RFC 7518 §3.1, RFC 8037)."
        })
    }
}

/// Writes them, for `#[serde(with = …)]`.
///
/// # Errors
/// Those of the format.
pub fn serialize<S: Serializer>(algs: &[Alg], serializer: S) -> Result<S::Ok, S::Error> {
    let names: Vec<&str> = algs.iter().map(|alg| alg.as_str()).collect();
    names.serialize(serializer)
}

/// Reads them.
///
/// # Errors
/// Those of the format, and names that are none.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Alg>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let algs = names.iter().map(|name| name.parse());
    algs.collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}
