//! What an introspection endpoint answers (RFC 7662 s2.2).

use crate::claims::Claims;
use crate::claims::read::{CLAIM_LIMITS, ClaimNames};
use crate::claims::rules::TokenType;
use crate::jose::json::{self, Value};
use crate::reason::Reason;

/// What the issuer says of a token.
pub(crate) enum Answer {
    /// It is not active. Why not is nobody's business (RFC 7662 s4).
    Inactive,
    /// It is active, and this is what it says.
    Active(Box<Claims>, TokenType),
    /// It is active, and what it says cannot be read.
    Unreadable(Reason),
}

/// The document is no answer, so nothing is known of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAnAnswer(pub(crate) &'static str);

impl Answer {
    /// Reads an answer. It is one if it is one strict JSON object whose `active` is `true` or `false`, and nothing else: a string, a
    /// number or its absence say neither.
    pub(crate) fn read(document: &[u8], names: &ClaimNames) -> Result<Self, NotAnAnswer> {
        let (mut active, mut token_type) = (None, TokenType::Absent);
        json::object(document, CLAIM_LIMITS, |name, value| match (name, value) {
            ("active", Value::Bool(is_active)) => active = Some(is_active),
            ("token_type", Value::String(text)) => token_type = TokenType::read(&text.decoded()),
            ("token_type", _) => token_type = TokenType::Other,
            _ => {}
        })
        .map_err(|_| NotAnAnswer("the answer is not one strict JSON object"))?;
        Ok(match active {
            None => return Err(NotAnAnswer("the answer's active is neither true nor false (RFC 7662 s2.2)")),
            Some(false) => Self::Inactive,
            Some(true) => match Claims::read(document.to_vec(), names) {
                Ok(claims) => Self::Active(Box::new(claims), token_type),
                Err(reason) => Self::Unreadable(reason),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<Answer, NotAnAnswer> {
        Answer::read(document.as_bytes(), &ClaimNames::default())
    }

    #[test]
    fn active_is_true_or_false_and_nothing_else() {
        assert!(matches!(read(r#"{"active":true}"#), Ok(Answer::Active(_, TokenType::Absent))));
        assert!(matches!(read(r#"{"scope":"admin","active":false}"#), Ok(Answer::Inactive)));
        assert!(matches!(read(r#"{"active":false,"exp":"never"}"#), Ok(Answer::Inactive)));
        for other in [
            "",
            "{}",
            "null",
            "[true]",
            "true",
            "<html>",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":[true]}"#,
            r#"{"Active":true}"#,
            r#"{"active":true,"active":false}"#,
            r#"{"active":true,"active":true}"#,
            r#"{"active":true"#,
            r#"{"active":true} {}"#,
            r#"{"token_type":"Bearer"}"#,
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_an_active_token_says_is_read_by_type() {
        for (members, reason) in [
            (r#""exp":"1800000300""#, Reason::MalformedClaim),
            (r#""exp":1e300"#, Reason::MalformedClaim),
            (r#""iss":7"#, Reason::MalformedClaim),
            (r#""aud":[7]"#, Reason::MalformedClaim),
            (r#""scope":7"#, Reason::MalformedClaim),
            (r#""cnf":"x""#, Reason::MalformedClaim),
        ] {
            let document = format!(r#"{{"active":true,{members}}}"#);
            assert!(matches!(read(&document), Ok(Answer::Unreadable(found)) if found == reason), "{document}");
        }
        let document = r#"{"active":true,"sub":null,"token_type":"bearer","username":"x","foo":{"bar":[1]}}"#;
        assert!(matches!(read(document), Ok(Answer::Active(_, TokenType::Bearer))));
    }
}
