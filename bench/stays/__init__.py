"""How well the stay rules tell where somebody was, on synthetic people of known truth (`make eval-stays`)."""
