// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// Tokens as they are met on real chains, each odd in one way. For tests only.

/// @dev What they have in common: a working ledger, and everything on the deployer's account.
abstract contract Ledger {
    uint256 public totalSupply;
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor() {
        totalSupply = 1e24;
        balanceOf[msg.sender] = 1e24;
    }

    function _move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }

    function _spend(address from, uint256 amount) internal {
        allowance[from][msg.sender] -= amount;
    }

    function _approve(address spender, uint256 amount) internal {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
    }
}

/// @dev A ledger that answers as ERC-20 says.
contract PlainToken is Ledger {
    function name() external view virtual returns (string memory) {
        return "Plain Token";
    }

    function symbol() external view virtual returns (string memory) {
        return "PLAIN";
    }

    function decimals() external view virtual returns (uint256) {
        return 6;
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external virtual returns (bool) {
        _spend(from, amount);
        _move(from, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external virtual returns (bool) {
        _approve(spender, amount);
        return true;
    }
}

/// @dev As USDT: nothing is returned, and an allowance is changed from and to nothing only.
contract SilentToken is Ledger {
    string public constant name = "Silent Token";
    string public constant symbol = "SILENT";
    uint8 public constant decimals = 6;

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _spend(from, amount);
        _move(from, to, amount);
    }

    function approve(address spender, uint256 amount) external {
        require(amount == 0 || allowance[msg.sender][spender] == 0);
        _approve(spender, amount);
    }
}

/// @dev As MKR: names of 32 bytes.
contract Bytes32Token is Ledger {
    bytes32 public constant name = "Maker";
    bytes32 public constant symbol = "MKR";
    uint8 public constant decimals = 18;

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _spend(from, amount);
        _move(from, to, amount);
        return true;
    }
}

/// @dev Keeps a hundredth of whatever moves.
contract FeeToken is PlainToken {
    function transfer(address to, uint256 amount) external override returns (bool) {
        _move(msg.sender, address(this), amount / 100);
        _move(msg.sender, to, amount - amount / 100);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        _spend(from, amount);
        _move(from, address(this), amount / 100);
        _move(from, to, amount - amount / 100);
        return true;
    }
}

/// @dev Refuses with words.
contract RefusingToken is PlainToken {
    function transfer(address, uint256) external pure override returns (bool) {
        revert("transfers are paused");
    }
}

/// @dev Refuses without a word.
contract MuteToken is PlainToken {
    function transfer(address, uint256) external pure override returns (bool) {
        revert();
    }
}

/// @dev Says no by returning false, and moves nothing.
contract FalseToken is PlainToken {
    function transfer(address, uint256) external pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) external pure override returns (bool) {
        return false;
    }
}

/// @dev Says yes, and moves nothing.
contract LyingToken is PlainToken {
    function transfer(address, uint256) external pure override returns (bool) {
        return true;
    }
}

/// @dev Tells of more than it moves. Its events are all that anybody can see.
contract BoastingToken is PlainToken {
    function transfer(address to, uint256 amount) external override returns (bool) {
        emit Transfer(msg.sender, to, type(uint256).max);
        emit Transfer(msg.sender, to, amount);
        return true;
    }
}

/// @dev More decimals than there can be.
contract ManyDecimalsToken is PlainToken {
    function decimals() external pure override returns (uint256) {
        return 300;
    }
}

/// @dev No name, no symbol, no decimals.
contract NamelessToken is PlainToken {
    function name() external pure override returns (string memory) {
        revert("none");
    }

    function symbol() external pure override returns (string memory) {
        revert();
    }

    function decimals() external pure override returns (uint256) {
        revert();
    }
}

/// @dev Names of four kibibytes, with an escape and a line break in them.
contract LongNameToken is PlainToken {
    function name() external pure override returns (string memory) {
        return _long();
    }

    function symbol() external pure override returns (string memory) {
        return _long();
    }

    function _long() private pure returns (string memory) {
        bytes memory text = new bytes(1 << 12);
        text[0] = "L";
        text[1] = "\n";
        text[2] = "\x1b";
        text[3] = "O";
        return string(text);
    }
}

/// @dev Answers never end: gas does.
contract EndlessNameToken is PlainToken {
    function symbol() external pure override returns (string memory) {
        while (true) {}
        return "";
    }
}

/// @dev Lies about the length of its names.
contract GarbledNameToken is Ledger {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0, 0x20)
            mstore(0x20, not(0))
            return(0, 0x40)
        }
    }
}

/// @dev No token at all: takes every call and says nothing.
contract Hole {
    fallback() external payable {}
}

/// @dev No token at all: another interface.
contract Counter {
    uint256 public count;

    function increase() external {
        ++count;
    }
}
