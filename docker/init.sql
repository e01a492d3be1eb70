-- Run once, as the superuser, in the database that POSTGRES_DB names.
CREATE EXTENSION image_gen;
UPDATE image_gen.providers SET base_url = 'http://simulator:8080/bfl' WHERE id = 'bfl';
CREATE ROLE marketing LOGIN PASSWORD 'marketing' IN ROLE image_gen_user;
