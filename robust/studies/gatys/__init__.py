"""Style networks beside Gatys' optimisation of each picture."""
