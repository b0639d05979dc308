"""Values: what is asked, what is answered, the policies, and the protocols of the edges."""
