use ::alloy::{
    consensus::{Transaction, TxEnvelope, transaction::SignerRecoverable},
    eips::Decodable2718,
    primitives::keccak256,
};
use dm_testing::signer::TestSigner;

use super::*;
use crate::tx::{Call, Draft, ExpectedTransfer, Fees};

fn backends() -> Vec<&'static dyn EvmBackend> {
    vec![
        &AlloyBackend,
        #[cfg(feature = "ethers")]
        &EthersBackend,
    ]
}

fn transfer(token: Address, to: Address, amount: U256) -> Log {
    Log {
        address: token,
        topics: vec![
            keccak256("Transfer(address,address,uint256)"),
            Address::repeat_byte(1).into_word(),
            to.into_word(),
        ],
        data: amount.to_be_bytes::<32>().into(),
        transaction_hash: None,
    }
}

const TOKEN: Address = Address::repeat_byte(7);
const RECEIVER: Address = Address::repeat_byte(8);
const OTHER: Address = Address::repeat_byte(9);

fn received(backend: &dyn EvmBackend, logs: &[Log]) -> U256 {
    let expected = ExpectedTransfer::Tokens {
        token: TOKEN,
        receiver: RECEIVER,
    };
    amount_received(backend, expected, true, logs)
}

#[test]
fn only_the_tokens_own_transfers_to_the_receiver_count() {
    let logs = [
        transfer(TOKEN, RECEIVER, U256::from(5)),
        transfer(TOKEN, OTHER, U256::from(100)),
        transfer(OTHER, RECEIVER, U256::from(1000)),
        transfer(TOKEN, RECEIVER, U256::from(2)),
    ];
    for backend in backends() {
        assert_eq!(received(backend, &logs), U256::from(7));
    }
}

#[test]
fn no_event_makes_the_sum_overflow() {
    let logs = [
        transfer(TOKEN, RECEIVER, U256::MAX),
        transfer(TOKEN, RECEIVER, U256::MAX),
    ];
    for backend in backends() {
        assert_eq!(received(backend, &logs), U256::MAX);
    }
}

#[test]
fn events_of_another_shape_are_no_transfers() {
    let good = transfer(TOKEN, RECEIVER, U256::from(5));
    let short = Log {
        data: Bytes::from_static(&[1; 31]),
        ..good.clone()
    };
    let unindexed = Log {
        topics: good.topics[..1].to_vec(),
        ..good
    };
    for backend in backends() {
        let logs = [short.clone(), unindexed.clone()];
        assert_eq!(received(backend, &logs), U256::ZERO);
    }
}

#[test]
fn the_chain_id_is_signed_in_every_kind_of_transaction() {
    let signer = TestSigner::new(1);
    let fees = [
        Fees::Dynamic { max_fee: 9, tip: 1 },
        Fees::Legacy { gas_price: 9 },
    ];
    for backend in backends() {
        for (to, fees) in [
            (Some(TOKEN), fees[0]),
            (None, fees[0]),
            (Some(TOKEN), fees[1]),
            (None, fees[1]),
        ] {
            let call = Call {
                to,
                input: Bytes::from_static(b"abc"),
                value: U256::from(5),
            };
            let job = SigningJob {
                draft: Draft {
                    call,
                    gas_limit: 21_000,
                    transfer: ExpectedTransfer::Nothing,
                },
                nonce: 0,
                fees,
            };
            let signed = backend.sign(&job, 31337, &signer).unwrap();
            let read = TxEnvelope::decode_2718_exact(&signed.bytes).unwrap();
            assert_eq!(read.chain_id(), Some(31337));
            assert_eq!((read.nonce(), read.to(), read.value()), (0, to, U256::from(5)));
            assert_eq!(
                (read.input(), read.gas_limit()),
                (&Bytes::from_static(b"abc"), 21_000)
            );
            assert_eq!(*read.tx_hash(), signed.hash);
            assert_eq!(read.recover_signer().unwrap(), signer.address());
        }
    }
}

#[test]
fn all_libraries_say_the_same_about_a_log_that_changes_hands() {
    let checkpoint = |size| Checkpoint {
        size,
        root: B256::random(),
    };
    let request = AnchorRequest {
        previous: Some(checkpoint(3)),
        next: checkpoint(5),
        consistency_proof: vec![B256::random(), B256::random()],
    };
    let word = OTHER.into_word();
    for backend in backends() {
        assert_eq!(
            backend.anchor(&request, AnchorTarget::LogOf(TOKEN)),
            AlloyBackend.anchor(&request, AnchorTarget::LogOf(TOKEN))
        );
        assert_eq!(
            backend.hand_over(TOKEN, OTHER),
            AlloyBackend.hand_over(TOKEN, OTHER)
        );
        let question = AnchorQuestion::Controller(TOKEN);
        assert_eq!(
            backend.anchor_question(&question),
            AlloyBackend.anchor_question(&question)
        );
        assert_eq!(backend.decode_controller(word.as_slice()), Some(OTHER));
        assert_eq!(backend.decode_controller(&word[1..]), None);
    }
}
