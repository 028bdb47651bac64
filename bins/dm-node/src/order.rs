//! Orders of authorised users, on the side of the client: the statement, and
//! the signature over it.

use std::path::Path;

use anyhow::{Context, bail};
use dm_core::{
    contact::Party,
    hash::{DataHash, DataHasher},
    mandate::{PresentedMandate, ShareDomain, ShareStatement, StatedPayment},
    secret::SecretString,
    token::parse_amount,
    user::UserId,
};
use dm_keys::UserSigningKey;
use tokio::io::AsyncReadExt;

use crate::{
    cli::{OrderArgs, PriceArgs},
    client::NodeClient,
    duration,
};

/// Bytes that are read from a file at a time.
const PIECE: usize = 256 * 1024;

/// What is to be ordered.
pub(crate) struct Wanted<'a> {
    pub(crate) recipient: &'a Party,
    pub(crate) price: Option<&'a PriceArgs>,
}

/// The statement that a user signs so that a node shares data.
///
/// # Errors
/// Where the node does not answer, or a price or duration is not valid.
pub(crate) async fn statement(
    client: &NodeClient,
    user: &UserId,
    data_hash: DataHash,
    wanted: &Wanted<'_>,
    valid_for: &str,
) -> anyhow::Result<ShareStatement> {
    let recipient = match wanted.recipient {
        Party::Address(address) => *address,
        // A signed order must say for itself what it is for.
        Party::Contact(name) => {
            bail!("an order names the recipient by its address; `dm-node contacts show {name}` prints it")
        }
    };
    let context = client.get("/authorization", &[]).await?;
    let unclear = || "the node's answer makes no sense";
    Ok(ShareStatement {
        chain_id: context["chain_id"].as_u64().with_context(unclear)?,
        data_hash,
        expires_at: duration::from_now(valid_for)?,
        log: context["log"]
            .as_str()
            .and_then(|log| log.parse().ok())
            .with_context(unclear)?,
        node_id: context["node_id"].as_str().with_context(unclear)?.to_owned(),
        payment: wanted.price.map(stated_payment).transpose()?.flatten(),
        recipient,
        statement: ShareDomain::V1,
        user_id: user.clone(),
    })
}

fn stated_payment(price: &PriceArgs) -> anyhow::Result<Option<StatedPayment>> {
    let (Some(token), Some(amount)) = (price.payment_token, &price.payment_amount) else {
        return Ok(None);
    };
    let amount = parse_amount(amount).context("--payment-amount")?;
    Ok(Some(StatedPayment {
        amount: amount.to_string(),
        token,
    }))
}

/// What goes along with a request as the user's order, if one is given: signed
/// here, or elsewhere before. `data_hash` is asked for only where it is needed.
///
/// # Errors
/// As [`statement`], and where a file cannot be read or the key cannot sign.
pub(crate) async fn presented(
    args: &OrderArgs,
    client: &NodeClient,
    wanted: &Wanted<'_>,
    data_hash: impl Future<Output = anyhow::Result<DataHash>>,
) -> anyhow::Result<Option<PresentedMandate>> {
    let Some(user) = &args.user else {
        return Ok(None);
    };
    let (statement, signature) = match (&args.user_key, &args.statement, &args.signature) {
        (Some(file), ..) => {
            let key = signing_key(file)?;
            let stated = statement(client, user, data_hash.await?, wanted, &args.valid_for).await?;
            let text = stated.canonical()?;
            let signature = key.sign(&text)?;
            (text, signature)
        }
        (None, Some(file), Some(signature)) => (read(file)?.trim().to_owned(), signature.trim().to_owned()),
        _ => bail!("--user needs --user-key, or --statement and --signature"),
    };
    Ok(Some(PresentedMandate {
        user_id: user.to_string(),
        statement,
        signature,
    }))
}

/// The private key in a file.
///
/// # Errors
/// Where the file cannot be read or holds none; its content is not repeated.
pub(crate) fn signing_key(file: &Path) -> anyhow::Result<UserSigningKey> {
    let text = SecretString::new(read(file)?);
    UserSigningKey::parse(&text).with_context(|| file.display().to_string())
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The data hash of a file.
///
/// # Errors
/// Where it is no file, which can be read twice, or cannot be read.
pub(crate) async fn hash_file(path: &Path) -> anyhow::Result<DataHash> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = tokio::fs::File::open(path).await.with_context(cannot)?;
    if !file.metadata().await?.is_file() {
        bail!("an order is for the hash of a file; {} is none", path.display());
    }
    let mut hasher = DataHasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).await.with_context(cannot)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&piece[..read]),
        }
    }
}
