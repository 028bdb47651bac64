// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

/// @title A token that a node issues
/// @notice OpenZeppelin's ERC-20 with allowances (EIP-2612) and transfers (EIP-3009) by signature. Its owner,
/// at first the deployer, can make more of it and nothing else.
contract NodeToken is ERC20, ERC20Permit, ERC3009, Ownable {
    uint8 private immutable _decimals;

    /// @param name Full name; also the name of the EIP-712 domain, whose version is "1".
    /// @param symbol Short name.
    /// @param decimals_ Decimal places of the unit that people use.
    /// @param initialSupply What the deployer has at first, in the smallest unit.
    constructor(string memory name, string memory symbol, uint8 decimals_, uint256 initialSupply)
        ERC20(name, symbol)
        ERC20Permit(name)
        Ownable(msg.sender)
    {
        _decimals = decimals_;
        if (initialSupply > 0) _mint(msg.sender, initialSupply);
    }

    /// @notice Decimal places of the unit that people use.
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice Makes more of it; for the owner alone.
    /// @param to Who gets it.
    /// @param amount How much, in the smallest unit.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }
}
