//! `dm-node user`: adds, lists and removes the authorised users of a running node.

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    cli::{AddUserArgs, UserCommand},
    client::NodeClient,
    output::{self, cell},
    paths::input_path,
    times,
};

/// Users that are asked for at a time.
const PAGE: usize = 1000;

pub(crate) async fn run(command: UserCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        UserCommand::Add(args) => {
            let body = json!({"user_id": args.id, "public_key": public_key(&args)?});
            let user = args.client.connect()?.post("/users", &body).await?;
            output::print(as_json, &user, |user| {
                format!(
                    "{} may order shares with the {} key {}.",
                    cell(&user["user_id"]),
                    cell(&user["kind"]),
                    cell(&user["fingerprint"])
                )
            })
        }
        UserCommand::List(args) => {
            let users = all(&args.connect()?).await?;
            output::print(as_json, &json!({"users": users}), |_| describe(&users))
        }
        UserCommand::Remove { id, client: args } => {
            let removed = args.connect()?.delete(&format!("/users/{id}")).await?;
            output::print(as_json, &removed, |_| format!("{id} orders nothing more."))
        }
    }
}

fn public_key(args: &AddUserArgs) -> anyhow::Result<String> {
    match (&args.key, args.address) {
        (Some(file), _) => {
            let file = input_path(file);
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
        }
        (None, Some(address)) => Ok(address.to_string()),
        (None, None) => anyhow::bail!("give --key FILE or --address ADDRESS"),
    }
}

/// All users, page by page.
async fn all(client: &NodeClient) -> anyhow::Result<Vec<Value>> {
    let mut users = Vec::new();
    let mut query = vec![("limit", PAGE.to_string())];
    loop {
        let mut page = client.get("/users", &query).await?;
        let found = page["users"]
            .as_array_mut()
            .context("the node's answer makes no sense")?;
        users.append(found);
        match page["next_cursor"].as_str() {
            Some(cursor) => query = vec![("limit", PAGE.to_string()), ("cursor", cursor.to_owned())],
            None => return Ok(users),
        }
    }
}

fn describe(users: &[Value]) -> String {
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| {
            let fields = ["user_id", "kind", "fingerprint"].map(|field| cell(&user[field]));
            let added = times::local_ms(&user["added_at"]);
            fields.into_iter().chain([added]).collect()
        })
        .collect();
    output::table(&["USER", "KIND", "KEY", "ADDED"], &rows)
}
