"""How the store behaves as it grows: what a fit on 100,000 examples takes, how fast features are read and written."""
