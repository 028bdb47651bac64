//! The ports of cryptography: [`Sealer`](dm_core::ports::Sealer),
//! [`KeyRing`](dm_core::ports::KeyRing), [`Grants`](dm_core::ports::Grants) and
//! [`MasterPassword`](dm_core::ports::MasterPassword).
//!
//! The in-memory ones keep the promises that callers rely on (sizes, wrong keys
//! and changed bytes are refused), from SHA-256 alone; they protect nothing.

mod grants;
mod key_ring;
mod master_password;
mod sealer;

pub use grants::{
    MemoryGrants, a_changed_grant_does_not_open, a_grant_moved_to_another_object_does_not_open,
    a_grant_relabelled_for_another_recipient_does_not_open, a_stranger_cannot_open_a_grant,
    an_envelope_without_a_grant_for_this_node_has_no_key, an_invalid_public_key_gets_no_grant,
    grants_for_an_older_key_still_open, run_grants_suite, the_recipient_opens_its_grant_among_others,
};
pub use key_ring::{
    MemoryKeyRing, a_changed_wrapped_key_is_damaged,
    a_destroyed_version_unwraps_nothing_and_leaves_the_others, a_version_that_is_not_held_is_unknown,
    rotation_keeps_old_versions, run_key_ring_suite, versions_may_rotate_while_others_wrap,
    what_was_wrapped_is_unwrapped,
};
pub use master_password::{MemoryPassword, run_master_password_suite};
pub use sealer::{
    MemorySealer, another_key_does_not_open, any_changed_byte_is_noticed, run_sealer_suite,
    tokens_have_the_length_that_envelopes_count_with, tokens_have_their_names,
    truncated_and_random_bytes_do_not_open, two_tokens_over_the_same_are_different, what_was_sealed_opens,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_sealer_passes_the_suite() {
        run_sealer_suite(&MemorySealer);
    }

    #[test]
    fn the_memory_key_ring_passes_the_suite() {
        run_key_ring_suite(&MemoryKeyRing::default());
    }

    #[test]
    fn the_memory_password_passes_the_suite() {
        run_master_password_suite(&MemoryPassword::new("password"), "password");
    }

    #[test]
    fn the_memory_grants_pass_the_suite() {
        run_grants_suite(MemoryGrants::new);
    }
}
