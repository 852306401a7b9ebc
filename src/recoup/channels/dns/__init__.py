"""What the domain name system says about our mail: who may send it, who signed it, and what receivers do with the rest."""
