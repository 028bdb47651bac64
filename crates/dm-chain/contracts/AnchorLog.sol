// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rfc6962} from "./Rfc6962.sol";

/// @title Anchors of append-only logs
/// @notice Every account has one log, named by its address for ever. Its keeper, at first the account
/// itself, anchors checkpoints of the log here and can hand it over to another account: a size and the root of the RFC 6962 Merkle tree over that many entries. A checkpoint is
/// accepted only with the proof that it continues the one before, so that nobody, the keeper
/// included, can change or remove an entry that was anchored once.
/// @dev There is no owner, no setting, no upgrade, no call to another contract but the SHA-256
/// precompile, and no ether is accepted. Roots are not stored: for each checkpoint there is one word,
/// the hash of root, size, block and time, against which the caller's values are checked. What was accepted
/// at the size of any earlier checkpoint stays provable for ever.
contract AnchorLog {
    /// @dev What is stored of a log.
    struct Log {
        /// The newest checkpoint in one word: size, block and time, 64 bits each, from the highest of
        /// the lower 192 bits down; 0 for a log without checkpoint. Above them the bit `HANDED_OVER`.
        uint256 head;
        /// The commitment of every checkpoint, by its size.
        mapping(uint256 size => bytes32) commitments;
    }

    /// @dev Bit of `Log.head` of a log whose keeper is in `keepers`. Logs that were never handed over,
    /// which are nearly all, need no further read.
    uint256 private constant HANDED_OVER = 1 << 192;

    /// @notice A checkpoint was accepted.
    /// @param log Whose log it is.
    /// @param size Number of entries.
    /// @param root Root of the Merkle tree over them.
    /// @param blockNumber Number of this block.
    /// @param timestamp Time of this block in seconds since the Unix epoch.
    event Anchored(address indexed log, uint64 indexed size, bytes32 root, uint64 blockNumber, uint64 timestamp);

    /// @notice A log has another keeper from now on.
    /// @param log Whose log it is.
    /// @param from Who kept it.
    /// @param to Who keeps it now.
    event HandedOver(address indexed log, address indexed from, address indexed to);

    /// @notice Only the keeper of a log anchors it and hands it over.
    /// @param log Whose log it is.
    /// @param keeper Who keeps it.
    error NotTheKeeper(address log, address keeper);

    /// @notice The zero address can keep nothing.
    error NobodyToKeep();

    /// @notice The chain lacks the SHA-256 precompile at address 2; the contract cannot work there.
    error Sha256Missing();

    /// @notice A checkpoint must have more entries than the one before it.
    /// @param anchored Size of the newest checkpoint; 0 where there is none.
    /// @param offered Size that was offered.
    error NotLarger(uint64 anchored, uint64 offered);

    /// @notice The log has no checkpoint yet: the previous root must be zero and the proof empty.
    /// @param offeredRoot Previous root that was offered.
    /// @param proofLength Number of hashes in the proof that was offered.
    error NoPreviousCheckpoint(bytes32 offeredRoot, uint256 proofLength);

    /// @notice The newest checkpoint has another root than the caller says.
    /// @param size Size of the newest checkpoint.
    /// @param offeredRoot Previous root that was offered.
    error OtherPreviousRoot(uint64 size, bytes32 offeredRoot);

    /// @notice The consistency proof is too short or too long for these sizes.
    /// @param previousSize Size of the newest checkpoint.
    /// @param size Size that was offered.
    /// @param proofLength Number of hashes in the proof that was offered.
    error WrongProofLength(uint64 previousSize, uint64 size, uint256 proofLength);

    /// @notice The offered checkpoint does not continue the newest one: the log was rewritten.
    /// @param previousRoot Root of the newest checkpoint.
    /// @param provenPreviousRoot Root to which the proof leads instead, if it does not lead to that one.
    /// @param root Root that was offered.
    /// @param provenRoot Root to which the proof leads instead, if it does not lead to that one.
    error NotAContinuation(bytes32 previousRoot, bytes32 provenPreviousRoot, bytes32 root, bytes32 provenRoot);

    mapping(address account => Log) private logs;
    mapping(address log => address) private keepers;

    /// @notice Refuses a chain on which no proof could be checked.
    constructor() {
        if (sha256("") != 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855) {
            revert Sha256Missing();
        }
    }

    /// @notice Anchors the next checkpoint of the caller's own log.
    /// @param previousRoot Root of the newest checkpoint; zero for a new log.
    /// @param size Number of entries; more than the newest checkpoint has.
    /// @param root Root of the Merkle tree over them.
    /// @param proof Consistency proof (RFC 6962, section 2.1.2) between the two; empty for a new log.
    function anchor(bytes32 previousRoot, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        append(msg.sender, previousRoot, size, root, proof);
    }

    /// @notice Anchors the next checkpoint of a log that was handed over to the caller.
    /// @param log Whose log.
    /// @param previousRoot Root of the newest checkpoint; zero for a new log.
    /// @param size Number of entries; more than the newest checkpoint has.
    /// @param root Root of the Merkle tree over them.
    /// @param proof Consistency proof (RFC 6962, section 2.1.2) between the two; empty for a new log.
    function anchorFor(address log, bytes32 previousRoot, uint64 size, bytes32 root, bytes32[] calldata proof)
        external
    {
        append(log, previousRoot, size, root, proof);
    }

    /// @notice Hands a log that the caller keeps over to another account. What is anchored stays, and
    /// the log goes on under its name.
    /// @param log Whose log.
    /// @param to Who keeps it from now on.
    function handOver(address log, address to) external {
        if (to == address(0)) revert NobodyToKeep();
        uint256 newest = logs[log].head;
        requireKeeper(log, newest);
        logs[log].head = newest | HANDED_OVER;
        keepers[log] = to;
        emit HandedOver(log, msg.sender, to);
    }

    /// @notice Who anchors a log and can hand it over.
    /// @param log Whose log.
    /// @return The account itself, before its log was handed over.
    function keeper(address log) external view returns (address) {
        return keeperOf(log, logs[log].head);
    }

    /// @notice The newest checkpoint of a log.
    /// @param log Whose log.
    /// @return size Number of entries; 0 for a log without checkpoint.
    /// @return blockNumber Number of the block that accepted it.
    /// @return timestamp Time of that block in seconds since the Unix epoch.
    function head(address log) external view returns (uint64 size, uint64 blockNumber, uint64 timestamp) {
        uint256 newest = logs[log].head;
        return (sizeOf(newest), uint64(newest >> 64), uint64(newest));
    }

    /// @notice Whether a log has a checkpoint of this size, with this root, accepted in this block at
    /// this time.
    /// @param log Whose log.
    /// @param size Number of entries.
    /// @param root Root of the Merkle tree over them.
    /// @param blockNumber Number of the block.
    /// @param timestamp Time of the block in seconds since the Unix epoch.
    /// @return Whether all of it is so.
    function holds(address log, uint64 size, bytes32 root, uint64 blockNumber, uint64 timestamp)
        public
        view
        returns (bool)
    {
        return logs[log].commitments[size] == commitment(root, pack(size, blockNumber, timestamp));
    }

    /// @notice Whether an entry stands in a log, under a checkpoint that was accepted in this block at
    /// this time.
    /// @param log Whose log.
    /// @param size Number of entries of the checkpoint.
    /// @param root Root of the checkpoint.
    /// @param blockNumber Number of the block that accepted it.
    /// @param timestamp Time of that block in seconds since the Unix epoch.
    /// @param leafHash SHA-256(0x00 ‖ entry).
    /// @param leafIndex Position of the entry, from 0.
    /// @param proof Inclusion proof (RFC 6962, section 2.1.1).
    /// @return Whether all of it is so.
    function proves(
        address log,
        uint64 size,
        bytes32 root,
        uint64 blockNumber,
        uint64 timestamp,
        bytes32 leafHash,
        uint64 leafIndex,
        bytes32[] calldata proof
    ) external view returns (bool) {
        return holds(log, size, root, blockNumber, timestamp)
            && Rfc6962.includes(size, root, leafHash, leafIndex, proof);
    }

    /// @dev Accepts the next checkpoint of a log from its keeper.
    /// @param name Whose log.
    /// @param previousRoot Root of the newest checkpoint; zero for a new log.
    /// @param size Number of entries; more than the newest checkpoint has.
    /// @param root Root of the Merkle tree over them.
    /// @param proof Consistency proof between the two; empty for a new log.
    function append(
        address name,
        bytes32 previousRoot,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof
    ) private {
        Log storage log = logs[name];
        uint256 previous = log.head;
        requireKeeper(name, previous);
        uint64 previousSize = sizeOf(previous);
        if (size <= previousSize) revert NotLarger(previousSize, size);
        if (previousSize != 0) {
            if (log.commitments[previousSize] != commitment(previousRoot, checkpointIn(previous))) {
                revert OtherPreviousRoot(previousSize, previousRoot);
            }
            requireContinuation(previousSize, previousRoot, size, root, proof);
        } else if (previousRoot != 0 || proof.length != 0) {
            revert NoPreviousCheckpoint(previousRoot, proof.length);
        }
        uint256 next = pack(size, uint64(block.number), uint64(block.timestamp));
        log.head = next | (previous & HANDED_OVER);
        log.commitments[size] = commitment(root, next);
        emit Anchored(name, size, root, uint64(block.number), uint64(block.timestamp));
    }

    /// @dev Reverts unless the caller keeps the log.
    /// @param log Whose log.
    /// @param newest Its `Log.head`.
    function requireKeeper(address log, uint256 newest) private view {
        address kept = keeperOf(log, newest);
        if (msg.sender != kept) revert NotTheKeeper(log, kept);
    }

    /// @dev Who keeps a log.
    /// @param log Whose log.
    /// @param newest Its `Log.head`.
    /// @return The keeper.
    function keeperOf(address log, uint256 newest) private view returns (address) {
        return newest & HANDED_OVER == 0 ? log : keepers[log];
    }

    /// @dev Reverts unless the proof leads from the root of the newest checkpoint to the offered one.
    /// @param previousSize Size of the newest checkpoint; at least 1.
    /// @param previousRoot Root of the newest checkpoint.
    /// @param size Size of the offered checkpoint; larger than the previous one.
    /// @param root Root of the offered checkpoint.
    /// @param proof Consistency proof between the two.
    function requireContinuation(
        uint64 previousSize,
        bytes32 previousRoot,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof
    ) private view {
        (bool complete, bytes32 provenPrevious, bytes32 proven) =
            Rfc6962.consistentRoots(previousSize, size, previousRoot, proof);
        if (!complete) revert WrongProofLength(previousSize, size, proof.length);
        if (provenPrevious != previousRoot || proven != root) {
            revert NotAContinuation(previousRoot, provenPrevious, root, proven);
        }
    }

    /// @dev A checkpoint without its root: the lower 192 bits of `Log.head`.
    /// @param size Number of entries.
    /// @param blockNumber Number of the block that accepted it.
    /// @param timestamp Time of that block in seconds since the Unix epoch.
    /// @return The three in one word.
    function pack(uint64 size, uint64 blockNumber, uint64 timestamp) private pure returns (uint256) {
        return (uint256(size) << 128) | (uint256(blockNumber) << 64) | timestamp;
    }

    /// @dev The checkpoint in a word of the form of `Log.head`.
    /// @param newest The word.
    /// @return Size, block and time alone.
    function checkpointIn(uint256 newest) private pure returns (uint256) {
        return newest & (HANDED_OVER - 1);
    }

    /// @dev The size in a word of the form of `Log.head`.
    /// @param packed The word.
    /// @return Number of entries.
    function sizeOf(uint256 packed) private pure returns (uint64) {
        return uint64(packed >> 128);
    }

    /// @dev The word that stands for a checkpoint in storage.
    /// @param root Root of the checkpoint.
    /// @param packed Its size, block and time, as `pack` returns them.
    /// @return keccak256 over the two words.
    function commitment(bytes32 root, uint256 packed) private pure returns (bytes32) {
        return keccak256(abi.encode(root, packed));
    }
}
