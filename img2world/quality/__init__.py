"""The grade of a world made from one photo, and the figures of the finished scene that it rests on."""
