"""What the tests are made of: torrents, a tracker, fakes, and real daemons."""
