"""Usage comes in: who sent it, is it well-formed, does the contract know it, may it be there."""
