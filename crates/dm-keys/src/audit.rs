//! What an auditor checks who has an event and a user's public key.

use dm_core::{event::Event, mandate::ShareStatement};

use crate::UserPublicKey;

/// Why an event does not prove that the user of a key has ordered it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOrdered {
    /// Nobody has signed for it.
    #[error("no user's order stands in the event")]
    NoMandate,
    /// Somebody else has.
    #[error("the order is signed with the key {0}")]
    OtherKey(String),
    /// The signature is not by this key over the statement.
    #[error("the signature is not by this key over the statement")]
    Signature,
    /// The statement is none, or speaks of something else than the event.
    #[error("the statement is not for the event's {0}")]
    Statement(&'static str),
    /// The statement is for another chain than the one that the event is anchored on.
    #[error("the statement is for the chain {stated}, the event is anchored on {anchored}")]
    Chain {
        /// EIP-155 id in the statement.
        stated: u64,
        /// EIP-155 id of the anchor.
        anchored: u64,
    },
    /// The statement had ended when the event was recorded.
    #[error("the statement ended at {ended}, the event is of {recorded} (milliseconds since the Unix epoch)")]
    Ended {
        /// When the statement ended.
        ended: u64,
        /// When the event was recorded.
        recorded: u64,
    },
}

impl UserPublicKey {
    /// Checks that the user of this key has ordered what the event records: the
    /// signature, and the statement's data, recipient, log, chain and end. `chain_id` is
    /// that of the event's anchor. Whether the event stands in the log is shown by its
    /// receipt.
    ///
    /// # Errors
    /// [`NotOrdered`] says what does not hold.
    pub fn check_order(&self, event: &Event, chain_id: u64) -> Result<(), NotOrdered> {
        let mandate = event.mandate.as_ref().ok_or(NotOrdered::NoMandate)?;
        if mandate.key != self.fingerprint() {
            return Err(NotOrdered::OtherKey(mandate.key.clone()));
        }
        self.verify(&mandate.statement, &mandate.signature)
            .map_err(|_| NotOrdered::Signature)?;
        let stated = ShareStatement::parse(&mandate.statement).map_err(|_| NotOrdered::Statement("kind"))?;
        for (part, is_same) in [
            ("data", Some(stated.data_hash) == event.data_hash),
            ("recipient", Some(stated.recipient) == event.recipient),
            ("log", stated.log == event.log),
            ("user", stated.user_id == mandate.user_id),
        ] {
            if !is_same {
                return Err(NotOrdered::Statement(part));
            }
        }
        if stated.chain_id != chain_id {
            return Err(NotOrdered::Chain {
                stated: stated.chain_id,
                anchored: chain_id,
            });
        }
        if stated.expires_at <= event.timestamp {
            return Err(NotOrdered::Ended {
                ended: stated.expires_at,
                recorded: event.timestamp,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{
        Address,
        event::NewEvent,
        hash::DataHash,
        mandate::{Mandate, ShareDomain},
        secret::SecretString,
        user::KeyKind,
    };

    use super::*;
    use crate::UserSigningKey;

    const PRIVATE: &str = include_str!("../tests/fixtures/users/ed25519.key.pem");
    const PUBLIC: &str = include_str!("../tests/fixtures/users/ed25519.pub.pem");
    const OTHER: &str = include_str!("../tests/fixtures/users/p256.pub.pem");
    const LOG: Address = Address::repeat_byte(1);
    const TO: Address = Address::repeat_byte(2);
    const CHAIN: u64 = 1;

    /// The event of a share that alice has ordered, by a statement with a change.
    fn event(change: impl FnOnce(&mut ShareStatement)) -> Event {
        let mut stated = ShareStatement {
            chain_id: CHAIN,
            data_hash: DataHash::of(b"data"),
            expires_at: 5,
            log: LOG,
            node_id: "node".to_owned(),
            payment: None,
            recipient: TO,
            statement: ShareDomain::V1,
            user_id: "alice".parse().unwrap(),
        };
        change(&mut stated);
        let statement = stated.canonical().unwrap();
        let key = UserSigningKey::parse(&SecretString::new(PRIVATE)).unwrap();
        let new = NewEvent {
            mandate: Some(Box::new(Mandate {
                key: UserPublicKey::parse(PUBLIC).unwrap().fingerprint().to_owned(),
                key_kind: KeyKind::Ed25519,
                signature: key.sign(&statement).unwrap(),
                statement,
                user_id: "alice".parse().unwrap(),
            })),
            ..NewEvent::data_share(DataHash::of(b"data"), TO)
        };
        new.into_event(LOG, 1)
    }

    fn verdict(event: &Event) -> Result<(), NotOrdered> {
        UserPublicKey::parse(PUBLIC).unwrap().check_order(event, CHAIN)
    }

    #[test]
    fn an_event_proves_who_ordered_it_also_after_it_has_travelled_as_json() {
        let event = event(|_| {});
        assert_eq!(verdict(&event), Ok(()));
        let json = event.canonical().unwrap();
        let read: Event = serde_json::from_slice(&json).unwrap();
        assert_eq!((read.canonical().unwrap(), verdict(&read)), (json, Ok(())));
    }

    #[test]
    fn an_event_without_a_mandate_has_the_leaf_that_it_always_had() {
        let mut event = NewEvent::data_share(DataHash::of(b"data"), TO).into_event(LOG, 1);
        event.nonce = [7; 16];
        assert_eq!(
            String::from_utf8(event.canonical().unwrap()).unwrap(),
            concat!(
                r#"{"data_hash":"3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7","#,
                r#""event_type":"data_share","log":"0x0101010101010101010101010101010101010101","#,
                r#""nonce":"07070707070707070707070707070707","#,
                r#""recipient":"0x0202020202020202020202020202020202020202","timestamp":1,"version":1}"#
            )
        );
        assert_eq!(verdict(&event), Err(NotOrdered::NoMandate));
    }

    #[test]
    fn an_order_for_something_else_or_by_somebody_else_proves_nothing() {
        let other = UserPublicKey::parse(OTHER).unwrap();
        assert!(matches!(
            other.check_order(&event(|_| {}), CHAIN),
            Err(NotOrdered::OtherKey(_))
        ));
        let mut forged = event(|_| {});
        let mandate = forged.mandate.as_mut().unwrap();
        mandate.statement = mandate.statement.replace("\"node\"", "\"name\"");
        assert_eq!(verdict(&forged), Err(NotOrdered::Signature));
        for (event, part) in [
            (event(|stated| stated.data_hash = DataHash::of(b"other")), "data"),
            (event(|stated| stated.recipient = LOG), "recipient"),
            (event(|stated| stated.log = TO), "log"),
            (event(|stated| stated.user_id = "bob".parse().unwrap()), "user"),
        ] {
            assert_eq!(verdict(&event), Err(NotOrdered::Statement(part)));
        }
    }

    #[test]
    fn an_order_for_another_chain_or_one_that_had_ended_proves_nothing() {
        let other_chain = event(|stated| stated.chain_id = 5);
        let expected = NotOrdered::Chain {
            stated: 5,
            anchored: CHAIN,
        };
        assert_eq!(verdict(&other_chain), Err(expected));
        // The event is recorded at 1.
        assert_eq!(verdict(&event(|stated| stated.expires_at = 2)), Ok(()));
        for ended in [0, 1] {
            let expected = NotOrdered::Ended { ended, recorded: 1 };
            assert_eq!(verdict(&event(|stated| stated.expires_at = ended)), Err(expected));
        }
    }
}
