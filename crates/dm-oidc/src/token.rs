//! Whether a token was signed by the provider, for this node, and counts now.

use dm_core::ports::IdentityError;
use jsonwebtoken::{Header, Validation, decode, decode_header, errors::ErrorKind, get_current_timestamp};
use serde_json::Value;

use crate::{claims::Claims, keys::Key};

/// How much the provider's clock may differ from this node's, in seconds.
const SKEW_SECS: u64 = 30;
/// Longest token in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It tells the console who has signed in.
    SignIn,
    /// It opens the APIs.
    Access,
}

/// Reads the head of a token, which says with which key it claims to be signed.
pub(crate) fn head(token: &str, meant: Use) -> Result<Header, IdentityError> {
    if token.len() > MAX_LENGTH {
        return Err(refused("the token is too long"));
    }
    // `none` is no algorithm that the library knows.
    let head = decode_header(token).map_err(|_| refused("the token is no signed JWT"))?;
    let kind = head
        .typ
        .as_deref()
        .map(|kind| kind.trim_start_matches("application/"));
    let is_of_kind = match kind.map(str::to_ascii_lowercase).as_deref() {
        None | Some("jwt") => true,
        Some("at+jwt") => meant == Use::Access,
        Some(_) => false,
    };
    if is_of_kind {
        Ok(head)
    } else {
        Err(refused("the token is of another kind"))
    }
}

/// What the token says, where it is of this issuer, for this audience, and counts now.
pub(crate) fn verify(
    token: &str,
    head: &Header,
    key: &Key,
    issuer: &str,
    audience: &str,
) -> Result<Claims, IdentityError> {
    // What the key is for decides, not what the token says of itself.
    if !key.algorithms.contains(&head.alg) {
        return Err(refused("the token's algorithm is not that of its key"));
    }
    let mut rules = Validation::new(head.alg);
    rules.leeway = SKEW_SECS;
    rules.validate_nbf = true;
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let token = decode::<Claims>(token, &key.key, &rules).map_err(|error| refused(reason(error.kind())))?;
    let claims = token.claims;
    // The library takes a list of issuers for one of them.
    if claims.text("iss") != Some(issuer) {
        return Err(refused(OTHER_ISSUER));
    }
    let made_at = claims.0.get("iat");
    let is_of_the_past = match made_at {
        None => true,
        Some(at) => at
            .as_f64()
            .is_some_and(|at| at <= (get_current_timestamp() + SKEW_SECS) as f64),
    };
    if !is_of_the_past {
        return Err(refused(TOO_EARLY));
    }
    if claims.0.get("cnf").is_some_and(|bound| *bound != Value::Null) {
        return Err(refused(
            "the token is bound to a key of its bearer, which is not checked here",
        ));
    }
    Ok(claims)
}

const OTHER_ISSUER: &str = "the token is of another issuer";
const TOO_EARLY: &str = "the token does not count yet";

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => TOO_EARLY,
        ErrorKind::InvalidIssuer => OTHER_ISSUER,
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks exp, iss, aud or sub",
        _ => "the token is no token of this provider",
    }
}

pub(crate) fn refused(reason: &str) -> IdentityError {
    IdentityError::Refused(reason.to_owned())
}
