//! The router that forwards the port of this node (UPnP).

use libp2p::upnp::Event;

pub(super) fn log(event: &Event) {
    match event {
        Event::NewExternalAddr { external_addr, .. } => {
            tracing::info!(address = %external_addr, "the router forwards the port");
        }
        Event::GatewayNotFound => tracing::info!("there is no router that speaks UPnP"),
        event => tracing::debug!(?event, "UPnP"),
    }
}
