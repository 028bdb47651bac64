//! What a key allows: scopes open, everything else narrows.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use serde::{Serialize, Serializer};

use super::{RouteName, Scope};

/// What the bearer of a key may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rights {
    /// What the key opens.
    pub scopes: BTreeSet<Scope>,
    /// Of what its scopes open, the only routes that it may call; all of them
    /// where this is empty.
    pub routes: BTreeSet<RouteName>,
    /// The only addresses to which it may have data, rights or money go; any
    /// address where this is empty.
    #[serde(serialize_with = "checksummed")]
    pub recipients: BTreeSet<Address>,
    /// Bytes of bodies that may pass for it in all, in both directions.
    pub bytes_budget: Option<u64>,
}

impl Rights {
    /// The whole of what these scopes open.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self {
            scopes: scopes.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Whether a scope is open; `admin` opens them all.
    pub fn allow_scope(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether the key is not kept from this route.
    pub fn allow_route(&self, route: &RouteName) -> bool {
        self.routes.is_empty() || self.routes.contains(route)
    }

    /// Whether the key is not kept from this recipient.
    pub fn allow_recipient(&self, recipient: Address) -> bool {
        self.recipients.is_empty() || self.recipients.contains(&recipient)
    }

    /// Whether anything narrows what the scopes open.
    pub fn are_narrowed(&self) -> bool {
        !self.routes.is_empty() || !self.recipients.is_empty() || self.bytes_budget.is_some()
    }
}

fn checksummed<S: Serializer>(addresses: &BTreeSet<Address>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(addresses.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_open_and_the_rest_narrows() {
        let (route, other) = (RouteName::of("GET", "/a"), RouteName::of("GET", "/b"));
        let wide = Rights::of([Scope::Share]);
        assert!(wide.allow_scope(Scope::Share) && !wide.allow_scope(Scope::Read));
        assert!(wide.allow_route(&route) && wide.allow_recipient(Address::ZERO));
        assert!(!wide.are_narrowed());
        let narrow = Rights {
            routes: [route.clone()].into(),
            recipients: [Address::ZERO].into(),
            ..Rights::of([Scope::Admin])
        };
        assert!(narrow.allow_scope(Scope::Read) && narrow.are_narrowed());
        assert!(narrow.allow_route(&route) && !narrow.allow_route(&other));
        assert!(narrow.allow_recipient(Address::ZERO) && !narrow.allow_recipient(Address::repeat_byte(1)));
    }
}
