"""How good a world made from one photo looks: figures measured on the finished scene, and a grade."""
