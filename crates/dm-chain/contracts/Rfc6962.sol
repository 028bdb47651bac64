// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle tree proofs of Certificate Transparency
/// @notice Checks inclusion and consistency proofs over the SHA-256 Merkle tree of RFC 6962,
/// section 2.1, with the verification algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2.
/// @dev Variable names are those of RFC 9162, so that the two can be laid side by side: `fn` and `sn`
/// walk from a node of the lowest level up to the root, `fr`, `sr` and `r` are the hashes computed on
/// the way. Sizes and indices are below 2^64, only ever shifted to the right, and decremented where
/// they are known to be positive, which is why the arithmetic is unchecked.
///
/// The hash of an inner node is SHA-256(0x01 ‖ left ‖ right), by the precompile at address 2. It fails
/// only where gas runs out; then the whole call fails without a reason, as out-of-gas does.
library Rfc6962 {
    /// @notice The roots of the older and of the newer tree to which a consistency proof leads.
    /// @dev RFC 9162, section 2.1.4.2. Where the older size is a power of two, the older tree is a full
    /// subtree of the newer one and its root stands in for the first value of the proof; that is the
    /// case exactly where nothing is left of `fn` without its trailing ones.
    ///
    /// The sizes alone say how many values are needed: the loop ends with `sn`, at the latest after 64
    /// rounds, and the length of the proof is compared afterwards. A proof that is too short is read
    /// past its end, which is harmless, since `complete` is false then.
    ///
    /// The loop is in assembly because two hashes for each value are most of what an anchor costs.
    /// @param firstSize Number of leaves of the older tree; at least 1.
    /// @param secondSize Number of leaves of the newer tree; larger than `firstSize`.
    /// @param firstRoot Known root of the older tree.
    /// @param proof Consistency proof of RFC 6962, section 2.1.2.
    /// @return complete Whether the proof has exactly the length that the two sizes ask for.
    /// @return fr Root of the older tree that follows from the proof.
    /// @return sr Root of the newer tree that follows from the proof.
    function consistentRoots(uint64 firstSize, uint64 secondSize, bytes32 firstRoot, bytes32[] calldata proof)
        internal
        view
        returns (bool complete, bytes32 fr, bytes32 sr)
    {
        unchecked {
            uint256 fn = firstSize - 1;
            uint256 sn = secondSize - 1;
            while (fn & 1 == 1) {
                fn >>= 1;
                sn >>= 1;
            }
            assembly ("memory-safe") {
                let next := proof.offset
                fr := firstRoot
                if fn {
                    fr := calldataload(next)
                    next := add(next, 32)
                }

                // `sr` is kept in the first word of the scratch space and `fr` in the second; the
                // buffer lies past the free memory pointer: 0x01, left at 1, right at 33.
                mstore(0x00, fr)
                mstore(0x20, fr)
                let buffer := mload(0x40)
                mstore8(buffer, 1)
                let ok := 1
                for {} sn {} {
                    let c := calldataload(next)
                    next := add(next, 32)
                    switch or(and(fn, 1), eq(fn, sn))
                    case 0 {
                        // sr = HASH(0x01 ‖ sr ‖ c)
                        mstore(add(buffer, 1), mload(0x00))
                        mstore(add(buffer, 33), c)
                    }
                    default {
                        // fr = HASH(0x01 ‖ c ‖ fr), sr = HASH(0x01 ‖ c ‖ sr)
                        mstore(add(buffer, 1), c)
                        mstore(add(buffer, 33), mload(0x20))
                        ok := and(ok, staticcall(gas(), 2, buffer, 65, 0x20, 32))
                        mstore(add(buffer, 33), mload(0x00))
                        // Ends: here `fn` is odd, or equal to `sn` and so not 0.
                        for {} iszero(and(fn, 1)) {} {
                            fn := shr(1, fn)
                            sn := shr(1, sn)
                        }
                    }
                    ok := and(ok, staticcall(gas(), 2, buffer, 65, 0x00, 32))
                    fn := shr(1, fn)
                    sn := shr(1, sn)
                }
                if iszero(ok) { revert(0, 0) }
                sr := mload(0x00)
                fr := mload(0x20)
                complete := eq(sub(next, proof.offset), shl(5, proof.length))
            }
        }
    }

    /// @notice Whether a leaf stands at a position of the tree with a given root.
    /// @dev RFC 9162, section 2.1.3.2.
    /// @param size Number of leaves of the tree.
    /// @param root Root of the tree.
    /// @param leafHash SHA-256(0x00 ‖ leaf).
    /// @param leafIndex Position of the leaf, from 0.
    /// @param proof Inclusion proof of RFC 6962, section 2.1.1, from the leaf's sibling upwards.
    /// @return Whether the proof leads from the leaf to the root.
    function includes(uint64 size, bytes32 root, bytes32 leafHash, uint64 leafIndex, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (leafIndex >= size) return false;
        unchecked {
            uint256 fn = leafIndex;
            uint256 sn = size - 1;
            bytes32 r = leafHash;
            for (uint256 i = 0; i < proof.length; ++i) {
                if (sn == 0) return false;
                if (fn & 1 == 1 || fn == sn) {
                    r = node(proof[i], r);
                    while (fn & 1 == 0) {
                        fn >>= 1;
                        sn >>= 1;
                    }
                } else {
                    r = node(r, proof[i]);
                }
                fn >>= 1;
                sn >>= 1;
            }
            return sn == 0 && r == root;
        }
    }

    /// @dev Hash of an inner node.
    /// @param left Hash of the left child.
    /// @param right Hash of the right child.
    /// @return Hash of the node above them.
    function node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
