//! Protocol revisions and the two eras they belong to.

/// How client and server keep their agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: `initialize`, then a session ("legacy").
    Session,
    /// From 2026-07-28: every request says everything ("modern").
    Stateless,
}

/// A revision of the protocol, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProtocolVersion {
    /// 2024-11-05: its own transport, HTTP+SSE, is not spoken; but some programs say this version over Streamable HTTP, and
    /// clients that know no other end where they are answered with one.
    V2024_11_05,
    /// 2025-03-26: the first with Streamable HTTP; batches existed, the version header did not.
    V2025_03_26,
    /// 2025-06-18: the version header, no batches.
    V2025_06_18,
    /// 2025-11-25: the last with sessions.
    V2025_11_25,
    /// 2026-07-28: stateless.
    V2026_07_28,
}

impl ProtocolVersion {
    /// Those that are served, newest first: the order in which they are offered.
    pub const ALL: [Self; 5] = [
        Self::V2026_07_28,
        Self::V2025_11_25,
        Self::V2025_06_18,
        Self::V2025_03_26,
        Self::V2024_11_05,
    ];
    /// The newest of all.
    pub const LATEST: Self = Self::V2026_07_28;
    /// The newest with a handshake.
    pub const LATEST_SESSION: Self = Self::V2025_11_25;
    /// What a legacy request without the version header speaks (TL-5).
    pub const ASSUMED: Self = Self::V2025_03_26;
    /// [`Self::ALL`] as a JSON array.
    pub const ALL_JSON: &'static str =
        r#"["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"]"#;

    /// The revision called `word`, if it is served.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == word)
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era it belongs to.
    pub fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Session
            }
            Self::V2026_07_28 => Era::Stateless,
        }
    }

    /// What a server answers to `initialize` with the version `requested`: that one if it is served and has a
    /// handshake, else the newest that has (TL-2).
    pub fn negotiate(requested: &str) -> Self {
        Self::parse(requested)
            .filter(|version| version.era() == Era::Session)
            .unwrap_or(Self::LATEST_SESSION)
    }

    /// The newest of `offered` that is served, for a client that was told what a server supports (UC-2).
    pub fn newest_of<'a>(offered: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        offered.into_iter().filter_map(Self::parse).max()
    }
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_list_names_all_versions_in_order() {
        let listed: Vec<String> = serde_json::from_str(ProtocolVersion::ALL_JSON).unwrap();
        assert_eq!(
            listed,
            ProtocolVersion::ALL.map(|version| version.as_str().to_owned())
        );
    }

    // TL-2
    #[test]
    fn initialize_agrees_on_the_requested_version_or_on_the_newest_with_a_handshake() {
        for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
            assert_eq!(ProtocolVersion::negotiate(version).as_str(), version);
        }
        for version in ["2026-07-28", "1900-01-01", ""] {
            assert_eq!(
                ProtocolVersion::negotiate(version),
                ProtocolVersion::V2025_11_25
            );
        }
    }

    // UC-2
    #[test]
    fn the_newest_offered_version_is_chosen() {
        let newest = ProtocolVersion::newest_of(["2025-06-18", "2099-01-01", "2026-07-28"]);
        assert_eq!(newest, Some(ProtocolVersion::V2026_07_28));
        assert_eq!(ProtocolVersion::newest_of(["2099-01-01"]), None);
    }
}
