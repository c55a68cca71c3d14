//! What is proved, and how: HMAC-SHA256 over everything that both sides said, with a label per direction.
//!
//! The labels keep one side's proof from being played back as the other's. Fields have their length in front, so that no
//! two different handshakes are the same bytes.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes that nobody can guess or has seen before.
pub(super) type Nonce = [u8; 32];
/// What HMAC-SHA256 gives.
pub(super) type Digest = [u8; 32];

const OFFER: &[u8] = b"callboard.peer.v1 offer";
const ANSWER: &[u8] = b"callboard.peer.v1 answer";
const SESSION: &[u8] = b"callboard.peer.v1 session";

/// The cluster's secret, ready to be used. Never shown.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

/// What the side that called says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    pub(super) protocol: u32,
    pub(super) cluster_id: &'a str,
    pub(super) from_node: u64,
    pub(super) to_node: u64,
    pub(super) nonce: &'a Nonce,
}

/// What the side that was called says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) protocol: u32,
    pub(super) cluster_id: &'a str,
    pub(super) node: u64,
    pub(super) nonce: &'a Nonce,
}

// === impl Secret ===

impl Secret {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of every length"))
    }

    pub(super) fn prove_offer(&self, offer: &Offer<'_>) -> Digest {
        digest(self.mac(OFFER, offer, None))
    }

    /// In constant time.
    pub(super) fn offer_holds(&self, offer: &Offer<'_>, proof: &[u8]) -> bool {
        self.mac(OFFER, offer, None).verify_slice(proof).is_ok()
    }

    pub(super) fn prove_answer(&self, offer: &Offer<'_>, answer: &Answer<'_>) -> Digest {
        digest(self.mac(ANSWER, offer, Some(answer)))
    }

    /// In constant time.
    pub(super) fn answer_holds(
        &self,
        offer: &Offer<'_>,
        answer: &Answer<'_>,
        proof: &[u8],
    ) -> bool {
        self.mac(ANSWER, offer, Some(answer)).verify_slice(proof).is_ok()
    }

    /// What the session's calls carry. Who only listened to the handshake cannot compute it.
    pub(super) fn token(&self, offer: &Offer<'_>, answer: &Answer<'_>) -> Digest {
        digest(self.mac(SESSION, offer, Some(answer)))
    }

    fn mac(&self, label: &[u8], offer: &Offer<'_>, answer: Option<&Answer<'_>>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        field(&mut mac, label);
        field(&mut mac, &offer.protocol.to_be_bytes());
        field(&mut mac, offer.cluster_id.as_bytes());
        field(&mut mac, &offer.from_node.to_be_bytes());
        field(&mut mac, &offer.to_node.to_be_bytes());
        field(&mut mac, offer.nonce);
        if let Some(answer) = answer {
            field(&mut mac, &answer.protocol.to_be_bytes());
            field(&mut mac, answer.cluster_id.as_bytes());
            field(&mut mac, &answer.node.to_be_bytes());
            field(&mut mac, answer.nonce);
        }
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

fn field(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

fn digest(mac: Hmac<Sha256>) -> Digest {
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: Offer<'static> =
        Offer { protocol: 1, cluster_id: "c", from_node: 1, to_node: 2, nonce: &[3; 32] };
    const ANSWERED: Answer<'static> =
        Answer { protocol: 1, cluster_id: "c", node: 2, nonce: &[4; 32] };

    #[test]
    fn a_proof_holds_for_exactly_what_was_said_and_the_secret_that_said_it() {
        let secret = Secret::new(b"one secret of a cluster");
        let proof = secret.prove_offer(&OFFERED);
        assert!(secret.offer_holds(&OFFERED, &proof));
        assert!(!Secret::new(b"another one").offer_holds(&OFFERED, &proof));
        let others = [
            Offer { protocol: 2, ..OFFERED },
            Offer { cluster_id: "d", ..OFFERED },
            Offer { from_node: 3, ..OFFERED },
            Offer { to_node: 1, ..OFFERED },
            Offer { nonce: &[9; 32], ..OFFERED },
        ];
        for other in others {
            assert!(!secret.offer_holds(&other, &proof), "{other:?}");
        }
        for wrong in [&[][..], &proof[..31], &[0; 32]] {
            assert!(!secret.offer_holds(&OFFERED, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_one_side_proved_is_no_proof_of_the_other_side_and_no_token() {
        let secret = Secret::new(b"one secret of a cluster");
        let (offer, answer) =
            (secret.prove_offer(&OFFERED), secret.prove_answer(&OFFERED, &ANSWERED));
        let token = secret.token(&OFFERED, &ANSWERED);
        assert!(secret.answer_holds(&OFFERED, &ANSWERED, &answer));
        assert!(!secret.answer_holds(&OFFERED, &ANSWERED, &offer));
        assert!(!secret.answer_holds(&OFFERED, &ANSWERED, &token));
        let fresh = Answer { nonce: &[5; 32], ..ANSWERED };
        assert_ne!(secret.token(&OFFERED, &fresh), token, "a fresh nonce makes a fresh session");
    }
}
