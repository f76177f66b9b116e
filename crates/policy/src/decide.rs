//! The decision: policies and facts in, a permission or the reason for its absence out.

use crate::call::Call;
use crate::facts::CallerFacts;
use crate::permitted::{DecidedBy, Permitted, StatementId};
use crate::resource::{ResourcePolicy, Verdict};

/// What one gateway is configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    resource: Option<ResourcePolicy>,
}

/// Why something is not permitted. What a stranger is told is the gateway's business; these facts
/// are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A statement with `"Effect": "Deny"` applies.
    #[error("the resource policy denies it by {0}")]
    Explicitly(StatementId),
    /// There is a resource policy, and none of its statements allows the request.
    #[error("no statement of the resource policy allows it")]
    ByDefault,
}

impl Policies {
    /// Policies of a gateway; `None` means that no resource policy is configured, and then
    /// everything is allowed that the authorizer let in.
    pub const fn new(resource: Option<ResourcePolicy>) -> Self {
        Self { resource }
    }

    /// May a request from these surroundings use the gateway at all? To be asked for every
    /// request, whatever its method.
    ///
    /// # Errors
    /// [`Denied`] says which rule forbids it.
    pub fn admit(&self, caller: &CallerFacts<'_>) -> Result<DecidedBy, Denied> {
        let Some(policy) = &self.resource else {
            return Ok(DecidedBy::NoPolicy);
        };
        match policy.evaluate(caller) {
            Verdict::Allowed(statement) => Ok(DecidedBy::Statement(statement)),
            Verdict::Denied(statement) => Err(Denied::Explicitly(statement)),
            Verdict::NothingApplies => Err(Denied::ByDefault),
        }
    }

    /// Decides about one call. The call moves into the permission, which is the only way to carry
    /// it out.
    ///
    /// # Errors
    /// [`Denied`] says which rule forbids it; the call is gone then.
    pub fn decide(&self, caller: &CallerFacts<'_>, call: Call) -> Result<Permitted<Call>, Denied> {
        let decided_by = self.admit(caller)?;
        Ok(Permitted::new(call, decided_by))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use mcp::params::{CallParams, Params};
    use mcp::raw::Raw;

    use super::*;
    use crate::call::Principal;

    const CALLER: CallerFacts<'static> = CallerFacts {
        address: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        listener: Some("main"),
        tls: true,
        client_certificate: false,
    };

    fn call() -> Call {
        let message = Bytes::from_static(br#"{"name":"add_numbers","arguments":{"a":2,"b":3}}"#);
        let text = std::str::from_utf8(&message).expect("UTF-8");
        let params = Params::of(Raw::parse(text).ok()).expect("no member twice");
        Call {
            principal: Principal::new("alice"),
            target: Arc::from("my-mcp-server"),
            feature: mcp::feature::Feature::Tools,
            method: mcp::method::Method::ToolsCall,
            name: Arc::from("add_numbers"),
            params: CallParams::of(&message, &params).expect("parameters"),
        }
    }

    fn policies(text: &str) -> Policies {
        Policies::new(Some(ResourcePolicy::parse(text).expect("a valid policy")))
    }

    #[test]
    fn without_a_policy_a_call_is_permitted() {
        let permitted = Policies::default()
            .decide(&CALLER, call())
            .expect("permitted");
        assert_eq!(permitted.decided_by(), &DecidedBy::NoPolicy);
        assert_eq!(permitted.get(), &call());
        assert_eq!(permitted.into_inner(), call());
    }

    #[test]
    fn a_permission_names_the_statement_that_gave_it() {
        let policies = policies(
            r#"{"Version":"2012-10-17","Statement":[{"Sid":"Everybody","Effect":"Allow",
            "Principal":"*","Action":"sekisho:InvokeGateway","Resource":"*"}]}"#,
        );
        let permitted = policies.decide(&CALLER, call()).expect("permitted");
        let DecidedBy::Statement(statement) = permitted.decided_by() else {
            panic!("a statement")
        };
        assert_eq!(statement.to_string(), "statement `Everybody`");
    }

    #[test]
    fn a_denied_call_says_by_what() {
        let policies = policies(
            r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Principal":"*","Action":"sekisho:InvokeGateway","Resource":"*"},
            {"Effect":"Deny","Principal":"*","Action":"sekisho:InvokeGateway","Resource":"*",
             "Condition":{"Bool":{"sekisho:ClientCertificate":"false"}}}]}"#,
        );
        let denied = policies.decide(&CALLER, call()).expect_err("denied");
        assert_eq!(
            denied.to_string(),
            "the resource policy denies it by statement 1"
        );
        let with_certificate = CallerFacts {
            client_certificate: true,
            ..CALLER
        };
        assert!(policies.decide(&with_certificate, call()).is_ok());
    }

    #[test]
    fn what_no_statement_allows_is_denied_by_default() {
        let policies = policies(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
            "Action":"sekisho:InvokeGateway","Resource":"*",
            "Condition":{"StringEquals":{"sekisho:Listener":"inner"}}}]}"#,
        );
        assert_eq!(
            policies.decide(&CALLER, call()).expect_err("denied"),
            Denied::ByDefault
        );
    }
}
