//! The system's resolver, less the addresses that may not be connected to.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::wire::addresses::Addresses;

/// Passes on those of the addresses of a name that may be connected to.
///
/// What it passes on is what is connected to. A check that resolved the name for itself would be answered with a public
/// address, and the connection with a private one (DNS rebinding).
pub(super) struct Filtered(pub(super) Addresses);

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.0;
        Box::pin(async move {
            // On a thread of its own, since the system's resolver blocks. The client puts in the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(allowed(addresses, found)?)
        })
    }
}

/// All that is left, or the first that was refused if nothing is.
fn allowed(addresses: Addresses, found: impl Iterator<Item = SocketAddr>) -> Result<Addrs, NotPublic> {
    let (allowed, refused): (Vec<_>, Vec<_>) = found.partition(|address| addresses.allow(address.ip()));
    match refused.first() {
        Some(refused) if allowed.is_empty() => Err(NotPublic(refused.ip())),
        _ => Ok(Box::new(allowed.into_iter())),
    }
}

/// The name has addresses, and none that may be connected to.
#[derive(Debug)]
pub(super) struct NotPublic(pub(super) IpAddr);

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not public", self.0)
    }
}

impl Error for NotPublic {}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(addresses: Addresses, found: &[&str]) -> Result<Vec<String>, String> {
        let found = found.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0));
        let allowed = allowed(addresses, found).map_err(|refused| refused.to_string())?;
        Ok(allowed.map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn only_public_addresses_are_passed_on_and_in_their_order() {
        let mixed = ["10.0.0.1", "2620:fe::9", "::1", "9.9.9.9", "::ffff:127.0.0.1"];
        assert_eq!(judged(Addresses::Public, &mixed).unwrap(), ["2620:fe::9", "9.9.9.9"]);
        assert_eq!(judged(Addresses::Any, &mixed).unwrap().len(), 5);
    }

    #[test]
    fn a_name_with_private_addresses_alone_is_refused_and_the_first_is_named() {
        assert_eq!(
            judged(Addresses::Public, &["169.254.169.254", "::1"]).unwrap_err(),
            "169.254.169.254 is not public"
        );
        assert!(judged(Addresses::Any, &["169.254.169.254", "::1"]).is_ok());
        // The client itself says that there is nothing to connect to.
        assert_eq!(judged(Addresses::Public, &[]).unwrap(), [""; 0]);
    }
}
