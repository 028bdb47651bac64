//! Every setting of the default file has an effect: a test shows it, or there is the one
//! place that reads it.

use std::{collections::BTreeSet, fs};

use super::names;

/// A setting, a file, and what stands in it: the name of a test that shows the effect, or
/// the expression by which the setting is read.
const EFFECTS: &str = r#"
node_id | tests/vouching.rs | .env("NODE_ID", "another")
data_dir | tests/settings.rs | fn booleans_and_paths_are_read_as_people_write_them(
db_path | tests/settings.rs | fn every_part_is_kept_where_the_settings_say(
sqlite_db_path | tests/settings.rs | fn every_part_is_kept_where_the_settings_say(
catalog_url | tests/postgres.rs | fn a_node_on_postgresql_shares_reads_verifies_revokes_and_erases(
catalog.password_file | tests/postgres.rs | DM_CATALOG__PASSWORD_FILE
catalog.readers | bins/dm-node/src/catalog.rs | .readers(config.catalog.readers)
catalog.through_pooler | bins/dm-node/src/catalog.rs | config.catalog.through_pooler
drain_secs | tests/requests.rs | fn a_node_that_is_told_to_stop_is_not_ready_and_serves_on(
plugin_dir | tests/settings.rs | fn every_part_is_kept_where_the_settings_say(
node_signature | tests/vouching.rs | fn a_node_does_not_start_on_the_word_of_nobody_or_for_another_node(
blockchain_type | crates/dm-core/src/config/validate.rs | config.blockchain_type == "evm"
blockchain_url | tests/settings.rs | fn a_directory_made_by_init_runs_on_the_embedded_chain_only_where_that_is_said(
native_token_address | bins/dm-node/src/node/ledger.rs | parse_address(&config.native_token_address)
private_key_file | tests/settings.rs | fn secrets_come_from_files(
key_master_password_file | tests/settings.rs | fn secrets_come_from_files(
p2p_port | tests/first_starts.rs | fn a_taken_port_of_the_peer_to_peer_network_is_named_with_its_protocol(
initial_peers | tests/settings.rs | fn a_peer_is_reached_by_the_name_of_its_host(
internal_api.host | crates/dm-api/src/server.rs | SocketAddr::new(config.host, config.port)
internal_api.port | tests/lifecycle.rs | fn a_start_that_fails_says_why_in_one_line_and_leaves_nothing(
internal_api.max_json_bytes | crates/dm-api/src/state.rs | config.max_json_bytes
internal_api.request_timeout_secs | crates/dm-api/tests/middleware.rs | fn a_request_that_gets_no_answer_is_given_up(
internal_api.idle_timeout_secs | crates/dm-api/src/state.rs | config.idle_timeout_secs
internal_api.trusted_proxies | crates/dm-api/src/server.rs | bound.config.trusted_proxies
internal_api.allowed_hosts | crates/dm-api/tests/operators.rs | fn a_page_in_the_operators_browser_reaches_nothing(
internal_api.rate_limit.per_second | crates/dm-api/src/middleware/rate_limit.rs | limit.per_second
internal_api.rate_limit.burst | crates/dm-api/src/middleware/rate_limit.rs | limit.burst
internal_api.tls.cert_file | tests/tls.rs | fn a_wrong_or_missing_file_ends_the_start_with_its_setting(
internal_api.tls.key_file | tests/tls.rs | fn a_wrong_or_missing_file_ends_the_start_with_its_setting(
internal_api.tls.client_ca_file | crates/dm-api/tests/tls.rs | fn a_client_certificate_stands_for_its_api_key(
internal_api.tls.client_keys | crates/dm-api/tests/tls.rs | fn a_client_certificate_stands_for_its_api_key(
external_api.host | crates/dm-api/src/server.rs | SocketAddr::new(config.host, config.port)
external_api.port | crates/dm-api/tests/lifecycle.rs | fn a_port_that_is_taken_is_named(
external_api.max_json_bytes | crates/dm-api/tests/shares.rs | fn a_json_body_over_the_limit_is_refused(
external_api.request_timeout_secs | crates/dm-api/src/state.rs | config.request_timeout_secs
external_api.idle_timeout_secs | crates/dm-api/tests/hostile.rs | fn a_body_that_stands_still_is_given_up(
external_api.trusted_proxies | crates/dm-api/tests/middleware.rs | trusted_proxies
external_api.allowed_hosts | tests/settings.rs | fn the_api_for_clients_answers_under_its_names_only_where_it_has_some(
external_api.rate_limit.per_second | tests/requests.rs | fn too_many_requests_are_told_when_to_come_again(
external_api.rate_limit.burst | tests/requests.rs | fn too_many_requests_are_told_when_to_come_again(
external_api.tls.cert_file | tests/tls.rs | fn a_wrong_or_missing_file_ends_the_start_with_its_setting(
external_api.tls.key_file | tests/tls.rs | fn a_wrong_or_missing_file_ends_the_start_with_its_setting(
external_api.tls.client_ca_file | crates/dm-api/tests/tls.rs | fn a_client_certificate_stands_for_its_api_key(
external_api.tls.client_keys | crates/dm-api/tests/tls.rs | fn a_client_certificate_stands_for_its_api_key(
dashboard_api.host | crates/dm-api/src/server.rs | SocketAddr::new(config.host, config.port)
dashboard_api.port | tests/console.rs | fn a_person_signs_in_to_the_console_of_a_node_with_its_api_key(
dashboard_api.max_json_bytes | crates/dm-api/src/state.rs | config.max_json_bytes
dashboard_api.request_timeout_secs | crates/dm-api/src/state.rs | config.request_timeout_secs
dashboard_api.idle_timeout_secs | crates/dm-api/src/state.rs | config.idle_timeout_secs
dashboard_api.trusted_proxies | crates/dm-api/tests/console.rs | fn behind_a_proxy_that_encrypts_the_cookie_is_for_encrypted_connections_alone(
dashboard_api.allowed_hosts | crates/dm-api/tests/console.rs | fn a_foreign_page_can_neither_read_nor_write(
dashboard_api.rate_limit.per_second | crates/dm-api/src/middleware/rate_limit.rs | limit.per_second
dashboard_api.rate_limit.burst | crates/dm-api/src/middleware/rate_limit.rs | limit.burst
dashboard_api.tls.cert_file | crates/dm-api/src/tls/live.rs | "dashboard_api"
dashboard_api.tls.key_file | crates/dm-api/src/tls/live.rs | "dashboard_api"
dashboard_api.tls.client_ca_file | crates/dm-api/src/tls/live.rs | "dashboard_api"
dashboard_api.tls.client_keys | crates/dm-api/src/tls/live.rs | "dashboard_api"
uploads.max_at_once | crates/dm-api/src/uploads.rs | .max_at_once
uploads.max_at_once_per_key | crates/dm-api/src/uploads.rs | .max_at_once_per_key
uploads.min_bytes_per_second | crates/dm-api/src/uploads.rs | .min_bytes_per_second
uploads.max_unfinished | crates/dm-services/tests/services/uploading.rs | max_unfinished:
uploads.max_unfinished_per_key | crates/dm-services/tests/services/uploading.rs | max_unfinished_per_key:
uploads.max_unfinished_bytes | crates/dm-services/tests/services/uploading.rs | max_unfinished_bytes:
uploads.max_unfinished_bytes_per_key | crates/dm-services/tests/services/uploading.rs | max_unfinished_bytes_per_key:
uploads.expire_after_secs | crates/dm-services/src/data/uploads.rs | config.expire_after_secs
events.keep_secs | crates/dm-services/src/events/keeper.rs | self.config.keep_secs
events.allowed_networks | tests/events.rs | DM_EVENTS__ALLOWED_NETWORKS
events.max_kept | crates/dm-services/src/events/keeper.rs | self.config.max_kept
inbox.accept | tests/inbox.rs | fn who_gets_into_the_inbox_is_a_setting(
inbox.acknowledge | tests/acknowledgements.rs | fn when_data_is_acknowledged_is_a_setting(
inbox.fetch.from | tests/inbox.rs | fn what_the_operator_wants_at_once_is_fetched_by_itself_and_nothing_else(
inbox.fetch.max_bytes | tests/inbox.rs | fn what_the_operator_wants_at_once_is_fetched_by_itself_and_nothing_else(
inbox.fetch.labels | tests/inbox.rs | fn what_the_operator_wants_at_once_is_fetched_by_itself_and_nothing_else(
network.host | crates/dm-p2p/src/node/swarm.rs | once(network.host)
network.more_hosts | crates/dm-p2p/tests/ipv6.rs | network.more_hosts =
network.replication_factor | bins/dm-node/src/node/data.rs | config.network.replication_factor
network.max_connections | crates/dm-p2p/tests/connection_limits.rs | fn many_identities_of_one_address_leave_room_for_another_one(
network.max_connections_per_peer | crates/dm-p2p/tests/connection_limits.rs | fn one_identity_has_two_connections(
network.max_connections_per_address | crates/dm-p2p/tests/connection_limits.rs | fn many_identities_of_one_address_leave_room_for_another_one(
network.max_connections_per_network | crates/dm-p2p/src/node/connection_slots/tests.rs | fn one_address_and_one_network_have_their_part_and_no_more(
network.address_connections_per_sec | crates/dm-p2p/src/node/handshakes.rs | fn an_address_that_connects_too_fast_is_slowed_down_and_others_are_not(
network.max_memory | crates/dm-p2p/tests/connection_limits.rs | fn without_memory_strangers_are_refused_and_dials_go_on(
network.max_foreign_bytes | tests/liars.rs | DM_NETWORK__MAX_FOREIGN_BYTES
network.max_foreign_object | tests/links.rs | DM_NETWORK__MAX_FOREIGN_OBJECT
network.request_timeout_secs | crates/dm-p2p/tests/hostile_peers.rs | fn who_stalls_its_streams_again_and_again_is_ignored(
network.retry_interval_secs | bins/dm-node/src/node/data.rs | config.network.retry_interval_secs
network.announce_interval_secs | crates/dm-p2p/src/node/constructor.rs | network.announce_interval_secs
network.health_check_interval_secs | crates/dm-p2p/tests/lifecycle.rs | fn a_peer_that_falls_silent_is_told_to_the_bus_and_forgotten_after_its_time(
network.peer_exchange_interval_secs | crates/dm-p2p/tests/lifecycle.rs | fn peers_that_share_no_initial_peer_meet_through_one_that_both_know(
network.min_peers | crates/dm-p2p/src/node/dialing.rs | network.min_peers
network.listen | crates/dm-p2p/tests/behind_routers.rs | fn a_node_that_nobody_reaches_takes_a_relay_among_its_peers(
network.external_addresses | crates/dm-p2p/tests/behind_routers.rs | fn peers_learn_the_external_addresses_that_are_set(
network.autonat | crates/dm-p2p/src/node/behaviour.rs | network.autonat
network.upnp | crates/dm-p2p/src/node/behaviour.rs | network.upnp
network.mdns | crates/dm-p2p/tests/mdns.rs | network.mdns = true
network.relays | tests/routers.rs | fn two_nodes_that_open_no_port_share_through_a_relay_that_keeps_nothing(
network.relay_server | crates/dm-p2p/tests/behind_routers.rs | fn a_relay_that_comes_back_is_used_again(
network.relay_max_circuits | crates/dm-p2p/src/node/behaviour.rs | network.relay_max_circuits
network.relay_circuit_bytes | crates/dm-p2p/src/node/behaviour.rs | network.relay_circuit_bytes
network.bootstrap_only | tests/routers.rs | fn two_nodes_that_open_no_port_share_through_a_relay_that_keeps_nothing(
network.allowed_peers | crates/dm-p2p/tests/private_network.rs | fn a_name_on_the_list_that_is_no_peer_is_an_error_of_the_start(
network.swarm_key_file | crates/dm-p2p/tests/private_network.rs | fn a_damaged_key_file_and_quic_beside_a_key_are_errors_of_the_start(
network.peer_requests_per_sec | crates/dm-p2p/tests/hostile_peers.rs | fn who_asks_faster_than_its_rate_is_answered_later_and_not_ignored(
network.peer_requests_burst | crates/dm-p2p/tests/hostile_peers.rs | fn who_asks_faster_than_its_rate_is_answered_later_and_not_ignored(
network.ban_secs | crates/dm-p2p/tests/hostile_peers.rs | fn a_ban_ends(
network.forget_peers_after_secs | crates/dm-p2p/tests/lifecycle.rs | fn a_peer_that_falls_silent_is_told_to_the_bus_and_forgotten_after_its_time(
network.challenge_interval_secs | crates/dm-services/src/repairer/plan/config.rs | network.challenge_interval_secs
network.repair_grace_secs | crates/dm-services/src/repairer/plan/config.rs | network.repair_grace_secs
network.repair_bytes_per_sec | crates/dm-services/src/repairer/plan/config.rs | network.repair_bytes_per_sec
network.challenges_per_sec | crates/dm-services/src/repairer/plan/config.rs | network.challenges_per_sec
network.keep_tombstones_secs | crates/dm-services/src/repairer/plan/config.rs | network.keep_tombstones_secs
storage.engine | crates/dm-storage/tests/lifecycle.rs | fn a_folder_belongs_to_the_engine_that_made_it(
storage.inline_limit | crates/dm-storage/src/storage.rs | config.inline_limit
storage.cache_bytes | crates/dm-storage/src/storage.rs | config.cache_bytes
storage.max_own_bytes | bins/dm-node/src/node/stores.rs | config.storage.max_own_bytes
storage.scrub_bytes_per_sec | bins/dm-node/src/background.rs | storage.scrub_bytes_per_sec
storage.scrub_interval_secs | bins/dm-node/src/background.rs | storage.scrub_interval_secs
storage.objects_url | tests/s3.rs | fn a_large_object_in_a_bucket_survives_kill_and_is_erased(
storage.s3.endpoint | tests/s3.rs | DM_STORAGE__S3__ENDPOINT
storage.s3.region | crates/dm-storage/src/objects/s3/setup.rs | .with_region(&config.region)
storage.s3.path_style | crates/dm-storage/src/objects/s3/setup.rs | !config.path_style
storage.s3.allow_http | tests/s3.rs | DM_STORAGE__S3__ALLOW_HTTP
storage.s3.credentials_file | crates/dm-storage/tests/s3/trouble.rs | fn credentials_that_are_replaced_are_used(
storage.s3.instance_metadata | crates/dm-storage/src/objects/s3/setup.rs | config.instance_metadata
storage.s3.part_bytes | crates/dm-storage/src/objects/s3/mod.rs | config.part_bytes
storage.s3.retry_timeout_secs | tests/s3.rs | DM_STORAGE__S3__RETRY_TIMEOUT_SECS
chain.max_fee_gwei | bins/dm-node/src/chain.rs | config.chain.max_fee_gwei
chain.replace_after_secs | bins/dm-node/src/chain.rs | config.chain.replace_after_secs
chain.confirmations | bins/dm-node/src/chain.rs | config.chain.confirmations
chain.stall_after_secs | bins/dm-node/src/chain.rs | config.chain.stall_after_secs
chain.max_in_flight | bins/dm-node/src/chain.rs | config.chain.max_in_flight
payments.patience_secs | tests/chain_endpoints.rs | DM_PAYMENTS__PATIENCE_SECS
payments.refund_after_secs | bins/dm-node/src/node/ledger.rs | config.payments.refund_after_secs
keys.rotate_after_days | bins/dm-node/src/background.rs | config.rotate_after_days
keys.destroy_retired | tests/keys.rs | fn old_versions_end_by_themselves_where_that_is_set(
authorization.required | tests/users.rs | DM_AUTHORIZATION__REQUIRED
api_keys.max_wrong | tests/api_keys.rs | fn who_tries_keys_has_to_wait_and_known_clients_do_not(
api_keys.longest_wait_secs | crates/dm-services/src/key_guard.rs | config.longest_wait_secs
sign_in.issuer | tests/sign_in.rs | fn a_token_of_the_company_opens_what_its_role_opens(
sign_in.provider_name | crates/dm-console/web/tests/sign_in.test.mjs | DM_SIGN_IN__PROVIDER_NAME
sign_in.client_id | crates/dm-console/web/tests/sign_in.test.mjs | DM_SIGN_IN__CLIENT_ID
sign_in.client_secret_file | crates/dm-console/web/tests/sign_in.test.mjs | DM_SIGN_IN__CLIENT_SECRET_FILE
sign_in.console_url | crates/dm-api/tests/sign_in.rs | fn the_provider_sends_browsers_back_to_the_configured_address_alone(
sign_in.audience | tests/sign_in.rs | fn a_token_of_the_company_opens_what_its_role_opens(
sign_in.request_scopes | crates/dm-oidc/tests/sign_in.rs | fn a_browser_is_sent_with_everything_that_the_provider_needs(
sign_in.roles_claim | tests/sign_in.rs | DM_SIGN_IN__ROLES_CLAIM
sign_in.roles | tests/sign_in.rs | DM_SIGN_IN__ROLES
compliance.confirmations | crates/dm-compliance/src/anchoring/watch.rs | config.confirmations
compliance.anchor_timeout_secs | bins/dm-node/src/node/data.rs | config.compliance.anchor_timeout_secs
compliance.max_batch | crates/dm-compliance/tests/anchoring.rs | fn an_anchor_covers_no_more_new_events_than_configured(
compliance.max_waiting | crates/dm-compliance/tests/recording.rs | fn more_events_than_may_wait_are_turned_away_and_the_others_recorded(
compliance.watch_interval_secs | crates/dm-compliance/src/anchoring.rs | config.watch_interval_secs
plugins.examine_received | bins/dm-node/src/plugins.rs | config.plugins.examine_received
plugins.required | tests/plugins.rs | DM_PLUGINS__REQUIRED
plugins.max_memory_bytes | crates/dm-plugins/tests/hostile.rs | fn a_manifest_that_asks_for_too_much_is_refused(
plugins.max_call_ms | crates/dm-plugins/src/folder.rs | config.max_call_ms
plugins.max_store_bytes | crates/dm-plugins/src/folder.rs | config.max_store_bytes
metrics.listen | tests/metrics.rs | DM_METRICS__LISTEN
traces.otlp_url | tests/traces.rs | DM_TRACES__OTLP_URL
traces.sample_percent | tests/traces.rs | DM_TRACES__SAMPLE_PERCENT
traces.show_data | tests/traces.rs | DM_TRACES__SHOW_DATA
log.filter | tests/requests.rs | DM_LOG__FILTER
log.format | tests/requests.rs | fn nothing_secret_and_no_payload_is_in_the_log(
"#;

#[test]
fn every_setting_of_the_default_file_has_an_effect() {
    let settings: BTreeSet<String> = names::shown_in_default_file()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let mut shown = BTreeSet::new();
    for line in EFFECTS.trim().lines() {
        let [setting, file, expected] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line} has not three columns");
        };
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{setting}: {file}: {error}"));
        assert!(text.contains(expected), "{setting}: {expected} is not in {file}");
        shown.insert(setting.to_owned());
    }
    assert_eq!(settings, shown);
}
