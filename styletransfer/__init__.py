"""Fast style transfer in norm variants: IN, BN, BN+ASR and the control BN+const."""
