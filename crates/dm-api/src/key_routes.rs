//! Whether the routes to which a key is to be narrowed can be its routes.

use dm_core::api_key::{Rights, RouteName, Scope};

use crate::route_info::{Access, RouteInfo};

/// Why a key cannot be narrowed to a route; each completes "routes …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// Neither API serves it.
    #[error("names `{0}`, which this node does not serve")]
    Unknown(RouteName),
    /// Everybody may call it.
    #[error("names `{0}`, which needs no key")]
    Open(RouteName),
    /// The key's scopes do not open it.
    #[error("names `{route}`, which needs the scope {scope}")]
    Scope {
        /// The route.
        route: RouteName,
        /// What it needs.
        scope: Scope,
    },
    /// A key that is narrowed may not make others that are not.
    #[error("names `{0}`, which is only for keys that nothing narrows")]
    MakesKeys(RouteName),
}

/// Checks that the routes to which a key is to be narrowed are among the `served` ones
/// and that its scopes open them.
///
/// # Errors
/// [`RouteFault`] for the first that is not.
pub fn check_routes(rights: &Rights, served: &[RouteInfo]) -> Result<(), RouteFault> {
    for route in &rights.routes {
        let info = served
            .iter()
            .find(|info| RouteName::of(info.method.as_str(), info.path) == *route)
            .ok_or_else(|| RouteFault::Unknown(route.clone()))?;
        match info.access {
            Access::Open => return Err(RouteFault::Open(route.clone())),
            Access::Needs(scope) if !rights.allow_scope(scope) => {
                return Err(RouteFault::Scope {
                    route: route.clone(),
                    scope,
                });
            }
            Access::Needs(_) if *route == RouteName::of("POST", "/api_keys") => {
                return Err(RouteFault::MakesKeys(route.clone()));
            }
            Access::Needs(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::served_routes;

    fn check(scope: Scope, route: &str) -> Result<(), RouteFault> {
        let rights = Rights {
            routes: [route.parse().unwrap()].into(),
            ..Rights::of([scope])
        };
        check_routes(&rights, &served_routes())
    }

    #[test]
    fn a_key_is_narrowed_to_routes_that_its_scopes_open() {
        assert_eq!(check(Scope::Read, "GET /data/{data_hash}"), Ok(()));
        assert_eq!(check(Scope::Admin, "GET /data/{data_hash}"), Ok(()));
        assert_eq!(check(Scope::Admin, "POST /keys/rotate"), Ok(()));
        for (scope, route, reason) in [
            (Scope::Read, "GET /data/{hash}", "does not serve"),
            (Scope::Read, "POST /data/{data_hash}", "does not serve"),
            (Scope::Read, "GET /health", "needs no key"),
            (Scope::Read, "POST /share_data", "needs the scope share"),
            (Scope::Admin, "POST /api_keys", "nothing narrows"),
        ] {
            let fault = check(scope, route).unwrap_err().to_string();
            assert!(fault.contains(reason) && fault.contains(route), "{fault}");
        }
    }
}
