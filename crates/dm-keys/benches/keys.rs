//! What the cryptography costs, beside its limits: the ratios are printed at
//! the end and are what counts, not the numbers of one machine.
#![allow(clippy::unwrap_used, reason = "what fails ends the benchmark")]

use std::{
    collections::HashMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use aes::Aes128;
use base64::{Engine, prelude::BASE64_URL_SAFE};
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::Pkcs7};
use criterion::Criterion;
use dm_core::{
    address::Address,
    address_record::AddressRecord,
    api_key::{ApiKeyRecord, KeyUsage, Rights, Scope},
    envelope::{Chunk, Envelope, ObjectId},
    hash::{ChunkName, DataHash, DataHasher},
    ports::{ApiKeyCatalog, ApiKeys, CatalogError, Grants, KeyRing, NewApiKeyRequest, Sealer, Signer},
    secret::{ContentKey, SecretString},
};
use dm_keys::{ApiKeyManager, FernetSealer, HpkeGrants, KeyManager, LocalAccount};
use fernet::Fernet;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const CHUNK: usize = 256 * 1024;

/// Median time of one call, over some 0.3 s.
fn median(mut call: impl FnMut()) -> Duration {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < Duration::from_millis(300) || times.len() < 9 {
        let start = Instant::now();
        call();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

fn print_ratio(what: &str, ours: Duration, peer: Duration) {
    let ratio = peer.as_secs_f64() / ours.as_secs_f64();
    println!("ratio: {what}: {ratio:.2} ({ours:?} against {peer:?})");
}

fn mebibytes_per_second(time: Duration) -> f64 {
    CHUNK as f64 / time.as_secs_f64() / f64::from(1 << 20)
}

/// AES-128-CBC and HMAC-SHA256 over a chunk: what Fernet cannot go below.
fn seal_with_parts(plaintext: &[u8]) -> Vec<u8> {
    let mut token = cbc::Encryptor::<Aes128>::new(&[1; 16].into(), &[2; 16].into())
        .encrypt_padded_vec_mut::<Pkcs7>(plaintext);
    let mac = Hmac::<Sha256>::new_from_slice(&[3; 16])
        .unwrap()
        .chain_update(&token)
        .finalize();
    token.extend_from_slice(&mac.into_bytes());
    token
}

fn open_with_parts(token: &[u8]) -> Vec<u8> {
    let (ciphertext, mac) = token.split_at(token.len() - 32);
    let expected = Hmac::<Sha256>::new_from_slice(&[3; 16])
        .unwrap()
        .chain_update(ciphertext);
    expected.verify_slice(mac).unwrap();
    cbc::Decryptor::<Aes128>::new(&[1; 16].into(), &[2; 16].into())
        .decrypt_padded_vec_mut::<Pkcs7>(ciphertext)
        .unwrap()
}

/// What passes cost that are made together, beside one after the other.
fn passes_at_once(key: &ContentKey, plaintext: &[u8], chunk: &Chunk) {
    let (name, bytes) = (chunk.name(), chunk.bytes());
    print_ratio(
        "open and name at once to one after the other",
        median(|| drop(black_box(FernetSealer.open_named(key, name, bytes.clone())))),
        median(|| {
            let chunk = Chunk::checked(name, bytes.clone()).unwrap();
            drop(black_box(FernetSealer.open(key, chunk.bytes())));
        }),
    );
    print_ratio(
        "seal and hash at once to one after the other",
        median(|| {
            drop(black_box(FernetSealer.seal_and_hash(
                key,
                plaintext,
                &mut DataHasher::new(),
            )));
        }),
        median(|| {
            black_box(DataHash::of(plaintext));
            drop(black_box(FernetSealer.seal(key, plaintext)));
        }),
    );
    print_ratio(
        "two names at once to one after the other",
        median(|| {
            black_box(ChunkName::of_both([bytes, plaintext]));
        }),
        median(|| {
            black_box([ChunkName::of(bytes), ChunkName::of(plaintext)]);
        }),
    );
}

fn chunks(criterion: &mut Criterion) {
    let key = ContentKey::random();
    let peer = Fernet::new(&BASE64_URL_SAFE.encode(key.as_bytes())).unwrap();
    let plaintext = vec![7; CHUNK];
    let (chunk, text, parts) = (
        FernetSealer.seal(&key, &plaintext),
        peer.encrypt(&plaintext),
        seal_with_parts(&plaintext),
    );
    let seal = || drop(black_box(FernetSealer.seal(&key, black_box(&plaintext))));
    let open = || drop(black_box(FernetSealer.open(&key, black_box(chunk.bytes()))));
    let mut group = criterion.benchmark_group("256 KiB");
    group.throughput(criterion::Throughput::Bytes(CHUNK as u64));
    group.bench_function("seal", |bencher| bencher.iter(seal));
    group.bench_function("open", |bencher| bencher.iter(open));
    group.finish();

    let sealing = median(seal);
    print_ratio(
        "seal to the fernet crate",
        sealing,
        median(|| drop(black_box(peer.encrypt(&plaintext)))),
    );
    print_ratio(
        "seal to AES-CBC + HMAC",
        sealing,
        median(|| drop(black_box(seal_with_parts(&plaintext)))),
    );
    let opening = median(open);
    print_ratio(
        "open to the fernet crate",
        opening,
        median(|| drop(black_box(peer.decrypt(&text)))),
    );
    print_ratio(
        "open to AES-CBC + HMAC",
        opening,
        median(|| drop(black_box(open_with_parts(&parts)))),
    );
    passes_at_once(&key, &plaintext, &chunk);
    println!(
        "seal {:.0} MiB/s, open {:.0} MiB/s",
        mebibytes_per_second(sealing),
        mebibytes_per_second(opening)
    );
}

fn wrapping_and_grants(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let password = SecretString::new("password");
    let manager = Arc::new(KeyManager::create(&path, &password).unwrap());
    let begin = Instant::now();
    KeyManager::open(&path, &password).unwrap();
    println!("open the key file: {:?}", begin.elapsed());

    let key = ContentKey::random();
    let wrapped = manager.wrap(&key);
    criterion.bench_function("wrap", |bencher| bencher.iter(|| manager.wrap(&key)));
    criterion.bench_function("unwrap", |bencher| bencher.iter(|| manager.unwrap(&wrapped)));
    let peer = Fernet::new(&Fernet::generate_key()).unwrap();
    let limit = median(|| drop(black_box(peer.encrypt(key.as_bytes()))));
    print_ratio(
        "wrap to the fernet crate",
        median(|| drop(black_box(manager.wrap(&key)))),
        limit,
    );

    let address = Address::repeat_byte(1);
    let grants = HpkeGrants::new(manager, address);
    let id = ObjectId {
        locator: DataHash::of(b"data").locator(),
        owner: address,
    };
    let record = AddressRecord::new(address, grants.public_key(), "peer".to_owned(), 1);
    let envelope = Envelope {
        id,
        size: 4,
        chunk_list: [0; 32],
        sequence: 1,
        created_at: 0,
        grants: vec![grants.grant(&key, &id, &record).unwrap()],
        attachments: Vec::new(),
        expires_at: None,
    };
    criterion.bench_function("grant", |bencher| {
        bencher.iter(|| grants.grant(&key, &id, &record));
    });
    criterion.bench_function("open grant", |bencher| {
        bencher.iter(|| grants.open_grant(&envelope));
    });
    let exchange = median(|| {
        let private = x25519_dalek::StaticSecret::from([7; 32]);
        black_box(private.diffie_hellman(&x25519_dalek::PublicKey::from(&private)));
    });
    let granting = median(|| drop(black_box(grants.grant(&key, &id, &record))));
    print_ratio(
        "grant to one X25519 exchange with a fresh key",
        granting,
        exchange,
    );
    let opening = median(|| drop(black_box(grants.open_grant(&envelope))));
    print_ratio(
        "open grant to one X25519 exchange with a fresh key",
        opening,
        exchange,
    );
}

fn signing(criterion: &mut Criterion) {
    let account = LocalAccount::random();
    let hash = [7; 32].into();
    criterion.bench_function("sign", |bencher| bencher.iter(|| account.sign_hash(&hash)));
    let bare = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let limit = median(|| drop(black_box(bare.sign_prehash_recoverable(&[7; 32]))));
    print_ratio(
        "sign to k256 alone",
        median(|| drop(black_box(account.sign_hash(&hash)))),
        limit,
    );
}

/// Holds keys by their ids.
#[derive(Default)]
struct Held(std::sync::Mutex<HashMap<String, ApiKeyRecord>>);

#[async_trait::async_trait]
impl ApiKeyCatalog for Held {
    async fn insert_api_key(&self, key: &ApiKeyRecord) -> Result<(), CatalogError> {
        self.0.lock().unwrap().insert(key.id.clone(), key.clone());
        Ok(())
    }

    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }

    async fn revoke_api_key(&self, _id: &str, _now: u64) -> Result<bool, CatalogError> {
        Ok(false)
    }

    async fn add_api_key_usage(
        &self,
        usage: &[(Arc<str>, KeyUsage)],
    ) -> Result<Vec<(Arc<str>, KeyUsage)>, CatalogError> {
        Ok(usage.to_vec())
    }

    async fn api_key_generation(&self) -> Result<u64, CatalogError> {
        Ok(0)
    }
}

async fn make_keys(manager: &ApiKeyManager, count: usize) -> Vec<String> {
    let mut keys = Vec::new();
    for _ in 0..count {
        let request = NewApiKeyRequest {
            name: "client".to_owned(),
            rights: Arc::new(Rights {
                bytes_budget: Some(1 << 60),
                ..Rights::of([Scope::Share, Scope::Read])
            }),
            expires_at: None,
        };
        keys.push(manager.create(request).await.unwrap().key);
    }
    keys
}

/// What a request costs: recognising its key, and counting what passes for it.
async fn one_request(manager: &ApiKeyManager, key: &str) {
    let bearer = manager.authenticate(key).await.unwrap();
    manager.spend(&bearer, 100).await.unwrap();
}

fn api_keys(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let with_keys = |count| {
        let manager = ApiKeyManager::new(Arc::new(Held::default()));
        let keys = runtime.block_on(make_keys(&manager, count));
        (manager, keys)
    };
    let (manager, keys) = with_keys(1);
    let key = keys[0].as_str();
    criterion.bench_function("authenticate", |bencher| {
        bencher.to_async(&runtime).iter(|| manager.authenticate(key));
    });
    let hash = || {
        black_box(<Sha256 as sha2::Digest>::digest(black_box(key)));
    };
    let authenticate = || drop(black_box(runtime.block_on(manager.authenticate(key))));
    print_ratio(
        "authenticate to SHA-256 of the key",
        median(authenticate),
        median(hash),
    );
    let (many, all) = with_keys(10_000);
    let mut turns = all.iter().cycle();
    criterion.bench_function("authenticate and count, one key", |bencher| {
        bencher.to_async(&runtime).iter(|| one_request(&manager, key));
    });
    criterion.bench_function("authenticate and count, 10,000 keys in turn", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| one_request(&many, turns.next().unwrap()));
    });
    print_ratio(
        "10,000 keys in turn to one key",
        median(|| runtime.block_on(one_request(&many, turns.next().unwrap()))),
        median(|| runtime.block_on(one_request(&manager, key))),
    );
}

fn main() {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(20)
        .measurement_time(Duration::from_secs(2));
    chunks(&mut criterion);
    wrapping_and_grants(&mut criterion);
    signing(&mut criterion);
    api_keys(&mut criterion);
    criterion.final_summary();
}
