"""Ways to reach a customer: messages rendered, handed over, and told apart by what became of them."""
