-- Who may speak to the companion over HTTP.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.access_tokens (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
  role       regrole NOT NULL,
  scopes     text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ '{read,spend,review}'),
  note       text CHECK (length(note) <= 1000),
  created_by name NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz
);
COMMENT ON TABLE image_gen.access_tokens IS
'Tokens for the companion (image-gen mcp, image-gen console), by create_token() and revoke_token(). Administrators see them; nothing shows the token itself, of which only the SHA-256 is here. They
are not dumped: in a copy of the database none is valid.';
COMMENT ON COLUMN image_gen.access_tokens.id IS 'For revoke_token().';
COMMENT ON COLUMN image_gen.access_tokens.token_hash IS 'SHA-256 of the token.';
COMMENT ON COLUMN image_gen.access_tokens.role IS 'The role that requests with it run as.';
COMMENT ON COLUMN image_gen.access_tokens.scopes IS 'read: see. spend: queue, cancel, pick. review: decide what waits for a person. Within what the role may do.';
COMMENT ON COLUMN image_gen.access_tokens.note IS 'For people.';
COMMENT ON COLUMN image_gen.access_tokens.created_by IS 'The administrator who made it.';
COMMENT ON COLUMN image_gen.access_tokens.created_at IS 'When.';
COMMENT ON COLUMN image_gen.access_tokens.expires_at IS 'It is of no use from then on.';
COMMENT ON COLUMN image_gen.access_tokens.revoked_at IS 'It is of no use since then.';

SET LOCAL search_path = image_gen, pg_temp;
